// linear of INT8 rows in scalar code: whole products of a lane, then one fma a block (ADR 0001).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/dtype.hpp"
#include "kernels/ops/elementwise.hpp"
#include "kernels/ops/linear.hpp"
#include "kernels/reference/canonical.hpp"
#include "kernels/reference/operations.hpp"

namespace troupe::kernels::reference {
namespace {

using Products = std::array<std::int32_t, kLanes>;

/// Columns that share a lane lie together: 4 of INT8, whose lanes are 8; 8 of INT4, 16 lanes.
std::int64_t columns_together(const WeightMatrix& w) { return w.dtype == DType::i8 ? 4 : 8; }

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

/// The weight's part of a lane's factor in a block of columns.
float weight_scale(const WeightMatrix& w, std::int64_t row, std::int64_t block, std::size_t lane) {
  if (w.dtype == DType::i32)
    return group_scale(w, row, block * 4 + static_cast<std::int64_t>(lane) / 4);
  if (w.scale_shape == ScaleShape::row) return 1;
  return w.scales[row / kScaleBlock * scale_blocks(w.cols) + block];
}

/// One (row, feature).
float dot(const LinearArgs& args, std::int64_t token, std::int64_t feature) {
  const WeightMatrix& w = args.w;
  const std::int64_t blocks = scale_blocks(w.cols);
  const std::int8_t* x = args.x_codes + token * padded_codes(w.cols);
  const std::int64_t together = columns_together(w);
  const std::size_t lanes = w.dtype == DType::i8 ? 8 : 16;
  Lanes sums{};
  for (std::int64_t b = 0; b < blocks; ++b) {
    Products products{};
    for (std::int64_t k = b * kScaleBlock; k < std::min((b + 1) * kScaleBlock, w.cols); ++k)
      products[static_cast<std::size_t>(k / together) % lanes] += code_of(w, feature, k) * x[k];
    for (std::size_t l = 0; l < lanes; ++l) {
      const float factor = args.x_scales[token * blocks + b] * weight_scale(w, feature, b, l);
      sums[l] = std::fma(static_cast<float>(products[l]), factor, sums[l]);
    }
  }
  const float sum = lane_tree(sums, lanes);
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
