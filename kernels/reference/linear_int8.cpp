// linear of INT8 rows in scalar code: whole products of a block or group, one fma each (ADR 0001).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/dtype.hpp"
#include "kernels/ops/elementwise.hpp"
#include "kernels/ops/linear.hpp"
#include "kernels/reference/operations.hpp"

namespace troupe::kernels::reference {
namespace {

std::int32_t code_of(const WeightMatrix& w, std::int64_t row, std::int64_t k) {
  const std::byte* at = w.data + row * w.row_bytes();
  if (w.dtype == DType::i8) return std::to_integer<std::int8_t>(at[k]);
  const std::byte pair = at[k / 2];
  return std::to_integer<std::int32_t>(k % 2 == 0 ? pair & std::byte{15} : pair >> 4) - 8;
}

float group_scale(const WeightMatrix& w, std::int64_t row, std::int64_t group) {
  const std::int64_t groups = scale_groups(w.cols);
  if (group >= groups) return 0;
  Bf16 scale = 0;
  std::memcpy(&scale, w.group_scales + 2 * (row * groups + group), sizeof(scale));
  return bf16_to_f32(scale);
}

/// The whole number that columns [begin, end) of a row and a feature, cut off at K, sum up to, as
/// F32.
float products(const WeightMatrix& w, std::int64_t feature, const std::int8_t* x,
               std::int64_t begin, std::int64_t end) {
  std::int32_t sum = 0;
  for (std::int64_t k = begin; k < std::min(end, w.cols); ++k) sum += code_of(w, feature, k) * x[k];
  return static_cast<float>(sum);
}

/// One (row, feature).
float dot(const LinearArgs& args, std::int64_t token, std::int64_t feature) {
  const WeightMatrix& w = args.w;
  const std::int64_t blocks = scale_blocks(w.cols);
  const std::int8_t* x = args.x_codes + token * padded_codes(w.cols);
  float sum = 0;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const float x_scale = args.x_scales[token * blocks + b];
    const std::int64_t begin = b * kScaleBlock;
    if (w.dtype == DType::i8) {
      const float factor = w.scale_shape == ScaleShape::row
                               ? x_scale
                               : x_scale * w.scales[feature / kScaleBlock * blocks + b];
      sum = std::fma(products(w, feature, x, begin, begin + kScaleBlock), factor, sum);
      continue;
    }
    float raw = 0;
    for (std::int64_t k = begin; k < begin + kScaleBlock; k += kScaleGroup)
      raw = std::fma(products(w, feature, x, k, k + kScaleGroup),
                     group_scale(w, feature, k / kScaleGroup), raw);
    sum = std::fma(raw, x_scale, sum);
  }
  return w.scale_shape == ScaleShape::row ? sum * w.scales[feature] : sum;
}

}  // namespace

void linear_int8(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  check_linear(args);
  for (std::int64_t feature = begin; feature < end; ++feature)
    for (std::int64_t token = 0; token < args.tokens; ++token)
      args.y[token * args.y_stride + feature] = dot(args, token, feature);
}

}  // namespace troupe::kernels::reference
