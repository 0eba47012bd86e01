// Polynomial exp, log, sin, cos and pow; every step is one correctly rounded IEEE operation.
#include "kernels/math.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/exp_constants.hpp"

namespace troupe::kernels {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// ln 2 = kLn2High + kLn2Low; the high part has 21 trailing zero bits, so e * kLn2High is exact.
constexpr double kLn2High = 0x1.62e42feep-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
// pi/2 = kHalfPi1 + kHalfPi2 + kHalfPi3; the first two have at most 32 bits, so that n * part is
// exact for n < 2^21.
constexpr double kHalfPi1 = 0x1.921fb544p+0;
constexpr double kHalfPi2 = 0x1.0b4611a6p-34;
constexpr double kHalfPi3 = 0x1.3198a2e037073p-69;

/// 2^n for -1022 <= n <= 1023.
double power_of_two(int n) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52);
}

/// The polynomial with `coefficients`, highest power first, at x: one fused multiply-add each.
template <class T, std::size_t N>
T horner(const std::array<T, N>& coefficients, T x) {
  T sum = coefficients[0];
  for (std::size_t i = 1; i < N; ++i) sum = std::fma(sum, x, coefficients[i]);
  return sum;
}

/// value = high + low, |low| <= ulp(high) / 2.
struct Pair {
  double high = 0;
  double low = 0;
};

/// a + b without error. Needs |a| >= |b| or a == 0.
Pair fast_sum(double a, double b) {
  const double high = a + b;
  return {high, b - (high - a)};
}

/// a + b without error.
Pair exact_sum(double a, double b) {
  const double high = a + b;
  const double b_part = high - a;
  return {high, (a - (high - b_part)) + (b - b_part)};
}

/// e^x for |x| <= ln2 / 2: Taylor to x^13; the next term, (ln2/2)^14 / 14! = 4e-18, is under 2^-57.
double exp_reduced(double x) {
  return horner(std::array{1.0 / 6227020800.0,  // 1 / 13!
                           1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0,
                           1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0,
                           1.0 / 6.0, 0.5, 1.0, 1.0},
                x);
}

/// x = 2^exponent * (1 + fraction) with 1 + fraction in [sqrt(1/2), sqrt(2)). x > 0, finite.
struct Split {
  int exponent = 0;
  double fraction = 0;
};

Split split(double x) {
  int exponent = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    exponent = -54;
  }
  const auto bits = std::bit_cast<std::uint64_t>(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  double mantissa =
      std::bit_cast<double>((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);  // [1, 2)
  if (mantissa > 0x1.6a09e667f3bcdp+0) {                                          // sqrt(2)
    mantissa *= 0.5;
    ++exponent;
  }
  return {exponent, mantissa - 1.0};
}

/// (atanh(s) - s) * 2 / s, a series in z = s^2 <= 0.0295; the term left out is under 1e-18.
double atanh_tail(double z) {
  return z * horner(std::array{2.0 / 23.0, 2.0 / 21.0, 2.0 / 19.0, 2.0 / 17.0, 2.0 / 15.0,
                               2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0},
                    z);
}

/// ln x with about 60 bits: ln(1 + f) = 2 atanh(s), s = f / (2 + f) kept as a pair.
Pair log_pair(double x) {
  const auto [exponent, f] = split(x);
  const Pair d = exact_sum(2.0, f);
  const double s = f / d.high;
  const double s_low = (std::fma(-s, d.high, f) - s * d.low) / d.high;
  const double tail = s * atanh_tail(s * s);
  const double e = exponent;
  const Pair main = exact_sum(e * kLn2High, 2.0 * s);
  const double low = main.low + (std::fma(e, kLn2Low, 2.0 * s_low) + tail);
  return fast_sum(main.high, low);
}

/// x - n * pi/2 as a pair, |pair| <= pi/4, and n mod 4.
struct Reduced {
  Pair angle;
  int quadrant = 0;
};

Reduced reduce(double x) {
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kToInteger = 0x1.8p52;  // adding rounds to the nearest integer
  const double n = std::fma(x, kTwoOverPi, kToInteger) - kToInteger;
  const double first = x - n * kHalfPi1;  // both exact
  const Pair second = exact_sum(first, -(n * kHalfPi2));
  const Pair angle = fast_sum(second.high, std::fma(-n, kHalfPi3, second.low));
  return {angle, static_cast<int>(static_cast<std::int64_t>(n) & 3)};
}

/// sin(a.high + a.low), |a| <= pi/4: Taylor to a^19, next term (pi/4)^21 / 21! = 1e-22.
double sin_reduced(Pair a) {
  const double z = a.high * a.high;
  const double p =
      horner(std::array{-1.0 / 121645100408832000.0,  // -1 / 19!
                        1.0 / 355687428096000.0, -1.0 / 1307674368000.0, 1.0 / 6227020800.0,
                        -1.0 / 39916800.0, 1.0 / 362880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0},
             z);
  const double correction = a.low * std::fma(-0.5, z, 1.0);
  return a.high + std::fma(z * a.high, p, correction);
}

/// cos(a.high + a.low), |a| <= pi/4: Taylor to a^18, next term (pi/4)^20 / 20! = 3e-21.
double cos_reduced(Pair a) {
  const double z = a.high * a.high;
  const double p =
      horner(std::array{-1.0 / 6402373705728000.0,  // -1 / 18!
                        1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0,
                        -1.0 / 3628800.0, 1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0},
             z);
  const double half = 0.5 * z;
  const double head = 1.0 - half;
  const double lost = (1.0 - head) - half;  // of the subtraction above
  return head + (lost + std::fma(z * z, p, -(a.high * a.low)));
}

double exp_pair(double high, double low) {
  if (high != high) return high;
  if (high > 709.79) return kInf;
  if (high < -745.2) return 0.0;
  constexpr double kToInteger = 0x1.8p52;
  const double n = std::fma(high, 0x1.71547652b82fep+0, kToInteger) - kToInteger;
  const double r = std::fma(n, -kLn2Low, std::fma(n, -kLn2High, high) + low);
  const int whole = static_cast<int>(n);
  const int half = whole >> 1;
  return exp_reduced(r) * power_of_two(half) * power_of_two(whole - half);
}

}  // namespace

float exp_f32(float x) {
  if (x != x) return x;
  const float clamped = x < kExpLowest ? kExpLowest : (x > kExpHighest ? kExpHighest : x);
  const float n = std::fma(clamped, kExpLog2E, kExpToInteger) - kExpToInteger;
  const float r = std::fma(n, -kExpLn2Low, std::fma(n, -kExpLn2High, clamped));
  const float p = horner(std::array{kExpC7, kExpC6, kExpC5, kExpC4, kExpC3, kExpC2, 1.0f, 1.0f}, r);
  const auto whole = static_cast<std::int32_t>(n);
  const std::int32_t half = whole >> 1;
  const float a = std::bit_cast<float>((half + 127) << 23);
  const float b = std::bit_cast<float>((whole - half + 127) << 23);
  const float y = (p * a) * b;
  return x < kExpLowest ? 0.0f : y;
}

float log_f32(float x) { return static_cast<float>(log_f64(static_cast<double>(x))); }

double exp_f64(double x) { return exp_pair(x, 0.0); }

double log_f64(double x) {
  if (!(x >= 0.0)) return kNaN;
  if (x == 0.0) return -kInf;
  if (x == kInf) return kInf;
  return log_pair(x).high;
}

double sin_f64(double x) {
  const Reduced r = reduce(x);
  const double value = (r.quadrant & 1) != 0 ? cos_reduced(r.angle) : sin_reduced(r.angle);
  return (r.quadrant & 2) != 0 ? -value : value;
}

double cos_f64(double x) {
  const Reduced r = reduce(x);
  const double value = (r.quadrant & 1) != 0 ? sin_reduced(r.angle) : cos_reduced(r.angle);
  return r.quadrant == 1 || r.quadrant == 2 ? -value : value;
}

double pow_f64(double x, double y) {
  if (y == 0.0) return 1.0;
  if (!(x > 0.0)) return x == 0.0 ? (y > 0.0 ? 0.0 : kInf) : kNaN;
  if (x == kInf) return y > 0.0 ? kInf : 0.0;
  const Pair l = log_pair(x);
  const double high = y * l.high;
  return exp_pair(high, std::fma(y, l.high, -high) + y * l.low);
}

}  // namespace troupe::kernels
