// Largest magnitude, scale, codes; the loops are simple enough for the compiler to vectorise.
#include "model/checkpoint/quantise_rows.hpp"

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/ops/weight_matrix.hpp"

namespace troupe::model {
namespace {

constexpr float kSmallestScale = 0x1p-126f;  // normal, so that no quotient overflows by it
constexpr float kInt4ScaleMax = 0x1p65f;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float magnitude(float value) { return value < 0 ? -value : value; }

/// NaN when one of them or `so_far` is NaN.
float largest(const float* values, std::int64_t count, float so_far) {
  if (so_far != so_far) return so_far;
  bool bad = false;
  for (std::int64_t i = 0; i < count; ++i) {
    const float size = magnitude(values[i]);
    so_far = size <= so_far ? so_far : size;
    bad |= size != size;
  }
  return bad ? std::numeric_limits<float>::quiet_NaN() : so_far;
}

/// Nearest whole number of |value| < 2^22, ties to even: what the last bit of 1.5 * 2^23 counts.
std::int32_t nearest(float value) {
  return std::bit_cast<std::int32_t>(value + 0x1.8p23f) - std::bit_cast<std::int32_t>(0x1.8p23f);
}

void int8_codes(const float* values, std::int64_t count, float scale, std::int8_t* codes) {
  for (std::int64_t i = 0; i < count; ++i)
    codes[i] = static_cast<std::int8_t>(std::clamp(nearest(values[i] / scale), -127, 127));
}

}  // namespace

bool quantise_int8_blocks(const Rows& rows, std::span<std::int8_t> codes, std::span<float> scales) {
  for (std::int64_t begin = 0; begin < rows.cols; begin += kernels::kScaleBlock) {
    const std::int64_t n = std::min(kernels::kScaleBlock, rows.cols - begin);
    float amax = 0;
    for (std::int64_t r = 0; r < rows.count; ++r)
      amax = largest(&rows.values[static_cast<std::size_t>(r * rows.cols + begin)], n, amax);
    if (!(amax < kInfinity)) return false;
    const float scale = std::max(amax / 127, kSmallestScale);
    scales[static_cast<std::size_t>(begin / kernels::kScaleBlock)] = scale;
    for (std::int64_t r = 0; r < rows.count; ++r) {
      const auto at = static_cast<std::size_t>(r * rows.cols + begin);
      int8_codes(&rows.values[at], n, scale, &codes[at]);
    }
  }
  return true;
}

bool quantise_int8_rows(const Rows& rows, std::span<std::int8_t> codes, std::span<float> scales) {
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const auto at = static_cast<std::size_t>(r * rows.cols);
    const float amax = largest(&rows.values[at], rows.cols, 0);
    if (!(amax < kInfinity)) return false;
    const float scale = std::max(amax / 127, kSmallestScale);
    scales[static_cast<std::size_t>(r)] = scale;
    int8_codes(&rows.values[at], rows.cols, scale, &codes[at]);
  }
  return true;
}

bool quantise_int4_row(std::span<const float> row, std::span<std::uint32_t> packed,
                       std::span<Bf16> scales) {
  const auto group = static_cast<std::size_t>(kernels::kScaleGroup);
  const auto per_word = static_cast<std::size_t>(kernels::kCodesPerWord);
  std::ranges::fill(packed, 0u);
  for (std::size_t begin = 0; begin < row.size(); begin += group) {
    const std::size_t n = std::min(group, row.size() - begin);
    const float amax = largest(&row[begin], static_cast<std::int64_t>(n), 0);
    const float scale = round_to_bf16(std::max(amax / 7.5f, kSmallestScale));
    if (!(scale < kInt4ScaleMax)) return false;
    scales[begin / group] = f32_to_bf16(scale);
    for (std::size_t i = begin; i < begin + n; ++i) {
      const auto code = static_cast<std::uint32_t>(std::clamp(nearest(row[i] / scale), -8, 7) + 8);
      packed[i / per_word] |= code << (4 * (i % per_word));
    }
  }
  return true;
}

}  // namespace troupe::model
