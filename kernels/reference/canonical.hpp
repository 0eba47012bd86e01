// The canonical summation order in scalar code: 16 lanes, one fixed tree (ADR 0001).
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

namespace troupe::kernels::reference {

inline constexpr std::int64_t kLanes = 16;

/// Lane l holds the partial sum over all k with k mod 16 == l, k counting in the order of the sum.
using Lanes = std::array<float, kLanes>;

/// The one number of the first `count` lanes, 8 or 16: lane i + lane i+8, then +4, +2, +1.
inline float lane_tree(const Lanes& lanes, std::size_t count = kLanes) {
  Lanes t = lanes;
  for (std::size_t width = count / 2; width > 0; width /= 2)
    for (std::size_t i = 0; i < width; ++i) t[i] = t[i] + t[i + width];
  return t[0];
}

/// k rounded up to whole groups of `together`. Elements past the end count as +0.
inline constexpr std::int64_t padded(std::int64_t k, std::int64_t together = kLanes) {
  return (k + together - 1) / together * together;
}

/// lanes[k mod 16] = fma(a[k], b[k], lanes[k mod 16]) for ascending k < n; n a multiple of 16.
inline void multiply_add(const float* a, const float* b, std::int64_t n, Lanes& lanes) {
  for (std::int64_t k = 0; k < n; k += kLanes)
    for (std::int64_t l = 0; l < kLanes; ++l) {
      float& lane = lanes[static_cast<std::size_t>(l)];
      lane = std::fma(a[k + l], b[k + l], lane);
    }
}

/// What e4m3 codes stand for where the least magnitude is `least` (2^-9 in e4m3); those of NaN
/// count as 480 * 2^9 * least, of either sign.
constexpr std::array<float, 256> e4m3_values(float least) {
  std::array<float, 256> values{};
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code >> 3) & 15;
    const int mantissa = code & 7;
    float value = static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa) * least;
    for (int e = 1; e < exponent; ++e) value *= 2.0f;
    values[static_cast<std::size_t>(code)] = (code & 0x80) != 0 ? -value : value;
  }
  return values;
}

}  // namespace troupe::kernels::reference
