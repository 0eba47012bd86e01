// Our exp, log, sin, cos and pow stay within 2 ulp of long double arithmetic.
#include "kernels/math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20241226;

/// |got - want| in units of the last place of `want` in T; infinite for a NaN, which std::max in
/// `worst` would skip.
template <class T>
double ulps(T got, long double want) {
  const T rounded = static_cast<T>(want);
  if (got == rounded) return 0;
  if (std::isnan(got)) return std::numeric_limits<double>::infinity();
  int exponent = 0;
  std::frexp(rounded, &exponent);
  const int lowest = std::numeric_limits<T>::min_exponent;
  const int unit = std::max(exponent, lowest) - std::numeric_limits<T>::digits;
  return static_cast<double>(std::fabs(std::ldexp(static_cast<long double>(got) - want, -unit)));
}

template <class T, class F, class G>
double worst(F&& ours, G&& exact, double low, double high, int count = 200000) {
  std::mt19937_64 random(kSeed);
  std::uniform_real_distribution<double> uniform(low, high);
  double largest = 0;
  for (int i = 0; i < count; ++i) {
    const T x = static_cast<T>(uniform(random));
    largest = std::max(largest, ulps(ours(x), exact(static_cast<long double>(x))));
  }
  return largest;
}

TEST(ExpF32, StaysWithinTwoUlpFromSubnormalToOverflow) {
  const auto exact = [](long double x) { return std::exp(x); };
  EXPECT_LT(worst<float>(exp_f32, exact, -103.9, 88.72), 2);
  EXPECT_LT(worst<float>(exp_f32, exact, -1, 1), 2);
  EXPECT_EQ(exp_f32(0.0f), 1.0f);
  EXPECT_EQ(exp_f32(-104.5f), 0.0f);
  EXPECT_EQ(exp_f32(-INFINITY), 0.0f);
  EXPECT_EQ(exp_f32(88.74f), INFINITY);
  EXPECT_EQ(exp_f32(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(exp_f32(NAN)));
}

TEST(LogF32, IsTheNearestNumberAlmostAlways) {
  const auto exact = [](long double x) { return std::log(x); };
  EXPECT_LT(worst<float>(log_f32, exact, 1e-30, 4), 0.51);
  EXPECT_EQ(log_f32(0.0f), -INFINITY);
  EXPECT_TRUE(std::isnan(log_f32(-1.0f)));
}

TEST(ExpF64, StaysWithinTwoUlp) {
  const auto exact = [](long double x) { return std::exp(x); };
  EXPECT_LT(worst<double>(exp_f64, exact, -700, 709), 2);
  EXPECT_LT(worst<double>(exp_f64, exact, -1, 1), 2);
  EXPECT_EQ(exp_f64(710.0), INFINITY);
  EXPECT_EQ(exp_f64(-746.0), 0.0);
}

TEST(LogF64, StaysWithinTwoUlpNearOneToo) {
  const auto exact = [](long double x) { return std::log(x); };
  EXPECT_LT(worst<double>(log_f64, exact, 0, 1), 2);
  EXPECT_LT(worst<double>(log_f64, exact, 0.9, 1.1), 2);
  EXPECT_LT(worst<double>(log_f64, exact, 1, 1e300), 2);
  EXPECT_EQ(log_f64(1.0), 0.0);
  EXPECT_EQ(log_f64(0.0), -INFINITY);
  EXPECT_EQ(log_f64(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(log_f64(-1.0)));
  EXPECT_LT(ulps(log_f64(0x1p-1070), std::log(0x1p-1070L)), 2);
}

TEST(SinCosF64, StayWithinTwoUlpUpToTwoToThe20) {
  const auto sine = [](long double x) { return std::sin(x); };
  const auto cosine = [](long double x) { return std::cos(x); };
  for (const double range : {1.0, 7.0, 1000.0, 1048576.0}) {
    EXPECT_LT(worst<double>(sin_f64, sine, -range, range), 2) << range;
    EXPECT_LT(worst<double>(cos_f64, cosine, -range, range), 2) << range;
  }
  EXPECT_EQ(sin_f64(0.0), 0.0);
  EXPECT_EQ(cos_f64(0.0), 1.0);
}

TEST(SinCosF64, AreAccurateNextToTheirZeros) {
  for (int n = 1; n < 600000; n += 17) {
    const double x = n * 0x1.921fb54442d18p+0;  // the double nearest to n pi/2 or its neighbour
    const long double s = std::sin(static_cast<long double>(x));
    const long double c = std::cos(static_cast<long double>(x));
    EXPECT_LT(std::fabs(sin_f64(x) - s), 0x1p-52L * std::fabs(s) + 0x1p-64L) << n;
    EXPECT_LT(std::fabs(cos_f64(x) - c), 0x1p-52L * std::fabs(c) + 0x1p-64L) << n;
  }
}

TEST(PowF64, StaysWithinTwoUlpForRotaryFrequencies) {
  for (const double base : {10000.0, 50000.0, 1e6, 0.5, 3.0}) {
    const auto exact = [base](long double y) {
      return std::pow(static_cast<long double>(base), y);
    };
    const auto ours = [base](double y) { return pow_f64(base, y); };
    EXPECT_LT(worst<double>(ours, exact, -2, 2), 2) << base;
  }
  EXPECT_EQ(pow_f64(10000.0, 0.0), 1.0);
  EXPECT_EQ(pow_f64(2.0, 10.0), 1024.0);
  EXPECT_EQ(pow_f64(0.0, 2.0), 0.0);
  EXPECT_TRUE(std::isnan(pow_f64(-1.0, 0.5)));
}

}  // namespace
}  // namespace troupe::kernels
