// linear in scalar code: the specification of the canonical order (ADR 0001).
#include "kernels/ops/linear.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/dtype.hpp"
#include "kernels/reference/canonical.hpp"
#include "kernels/reference/operations.hpp"

namespace troupe::kernels::reference {
namespace {

using Block = std::array<float, kScaleBlock>;

/// Values of e4m3 codes times 2^-56; the factor of the block takes the 2^56 back. ADR 0001 says
/// why: the vector levels move the bits of a code into an F32 without a conversion instruction.
constexpr std::array<float, 256> kCodeValues = e4m3_values(0x1p-65f);

/// Element k of an INT4 row: (code - 8) * the scale of its group, or (code - zero point) * scale,
/// which F32 holds exactly (at most 5 + 11 significant bits), and +0 where that is -0.
float int4_value(const WeightMatrix& w, std::int64_t row, std::int64_t k) {
  const std::byte pair = w.data[row * w.row_bytes() + k / 2];
  const auto code = std::to_integer<int>(k % 2 == 0 ? pair & std::byte{15} : pair >> 4);
  if (w.zeroed_scales != nullptr) {
    const std::int64_t groups = (w.cols + w.group_cols - 1) / w.group_cols;
    const std::uint32_t word = w.zeroed_scales[row * groups + k / w.group_cols];
    return static_cast<float>(code - zero_point_of(word)) * scale_of(word) + 0.0f;
  }
  Bf16 scale = 0;
  std::memcpy(&scale, w.group_scales + 2 * (row * scale_groups(w.cols) + k / kScaleGroup), 2);
  return static_cast<float>(code - 8) * bf16_to_f32(scale) + 0.0f;
}

float stored_value(const WeightMatrix& w, std::int64_t row, std::int64_t k) {
  if (w.dtype == DType::i32) return int4_value(w, row, k);
  const std::byte* at =
      w.data + row * w.row_bytes() + k * static_cast<std::int64_t>(bytes_of(w.dtype));
  if (w.dtype == DType::f8_e4m3) return kCodeValues[std::to_integer<std::size_t>(*at)];
  if (w.dtype == DType::i8) return static_cast<float>(std::to_integer<std::int8_t>(*at));
  if (w.dtype == DType::bf16) {
    Bf16 bits = 0;
    std::memcpy(&bits, at, sizeof(bits));
    return bf16_to_f32(bits);
  }
  float value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

/// Columns that the lanes take at a time: one each, or a pair each of weights of BF16 and e4m3.
std::int64_t columns_together(const WeightMatrix& w) {
  const bool in_pairs = w.dtype == DType::bf16 || w.dtype == DType::f8_e4m3;
  return in_pairs ? 2 * kLanes : kLanes;
}

/// The n values of a block in the order in which the lanes take them, filled up with +0; returns
/// how many that makes. Of every 32 columns that come in pairs the 16 odd ones are first.
template <class Value>
std::int64_t read_block(std::int64_t n, std::int64_t together, const Value& value, Block& out) {
  const std::int64_t filled = padded(n, together);
  for (std::int64_t i = 0; i < filled; ++i) {
    const std::int64_t lane = i % kLanes;
    const std::int64_t second = i / kLanes % 2;
    const std::int64_t from =
        together == kLanes ? i : i / together * together + 2 * lane + 1 - second;
    out[static_cast<std::size_t>(i)] = from < n ? value(from) : 0.0f;
  }
  return filled;
}

/// sums[l] = fma(raw[l], factor, sums[l]).
void fold(const Lanes& raw, float factor, Lanes& sums) {
  for (std::size_t l = 0; l < raw.size(); ++l) sums[l] = std::fma(raw[l], factor, sums[l]);
}

/// One (row, feature).
float dot(const LinearArgs& args, std::int64_t token, std::int64_t feature) {
  const WeightMatrix& w = args.w;
  const bool blocks = w.scales != nullptr && w.scale_shape == ScaleShape::block;
  const std::int64_t scale_columns = scale_blocks(w.cols);
  const std::int64_t together = columns_together(w);
  const float* x = args.x + token * args.x_stride;
  Lanes sums{};
  for (std::int64_t k = 0, b = 0; k < w.cols; k += kScaleBlock, ++b) {
    const std::int64_t n = std::min(kScaleBlock, w.cols - k);
    Block weights;
    Block inputs;
    const auto weight = [&](std::int64_t i) { return stored_value(w, feature, k + i); };
    const auto input = [&](std::int64_t i) {
      return x[w.column_order == nullptr ? k + i : w.column_order[k + i]];
    };
    const std::int64_t filled = read_block(n, together, weight, weights);
    read_block(n, together, input, inputs);
    if (!blocks) {
      multiply_add(weights.data(), inputs.data(), filled, sums);
      continue;
    }
    Lanes raw{};
    multiply_add(weights.data(), inputs.data(), filled, raw);
    float scale = w.scales[feature / kScaleBlock * scale_columns + b];
    if (args.x_scales != nullptr) scale = args.x_scales[token * scale_columns + b] * scale;
    fold(raw, w.dtype == DType::f8_e4m3 ? scale * 0x1p56f : scale, sums);
  }
  if (w.scales == nullptr || blocks) return lane_tree(sums);
  Lanes scaled{};
  fold(sums, w.scales[feature], scaled);
  return lane_tree(scaled);
}

}  // namespace

void linear(const LinearArgs& args, std::int64_t begin, std::int64_t end) {
  check_linear(args);
  for (std::int64_t feature = begin; feature < end; ++feature)
    for (std::int64_t token = 0; token < args.tokens; ++token)
      args.y[token * args.y_stride + feature] = dot(args, token, feature);
}

}  // namespace troupe::kernels::reference
