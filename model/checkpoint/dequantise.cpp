// One loop per format.
#include "model/checkpoint/dequantise.hpp"

#include <array>
#include <cstring>

#include "core/dtype.hpp"

namespace troupe::model {
namespace {

using kernels::kScaleBlock;
using kernels::kScaleGroup;

std::array<float, 256> e4m3_values() {
  std::array<float, 256> values{};
  for (std::size_t code = 0; code < values.size(); ++code)
    values[code] = e4m3_to_f32(static_cast<std::uint8_t>(code));
  return values;
}

/// out[i] = value_of(codes[i]) * the scale of its block or row.
template <class ValueOf>
void scaled_row(const kernels::WeightMatrix& w, std::int64_t row, std::span<float> out,
                const ValueOf& value_of) {
  const std::byte* codes = w.data + row * w.row_bytes();
  const bool by_row = w.scale_shape == kernels::ScaleShape::row;
  const float* scales =
      by_row ? w.scales + row : w.scales + row / kScaleBlock * kernels::scale_blocks(w.cols);
  for (std::int64_t col = 0; col < w.cols; ++col)
    out[static_cast<std::size_t>(col)] =
        value_of(codes[col]) * scales[by_row ? 0 : col / kScaleBlock];
}

void zeroed_row(const kernels::WeightMatrix& w, std::int64_t row, std::span<float> out) {
  const std::byte* codes = w.data + row * w.row_bytes();
  const std::int64_t groups = (w.cols + w.group_cols - 1) / w.group_cols;
  for (std::int64_t col = 0; col < w.cols; ++col) {
    const std::byte pair = codes[col / 2];
    const auto code = std::to_integer<int>(col % 2 == 0 ? pair & std::byte{15} : pair >> 4);
    const std::uint32_t word = w.zeroed_scales[row * groups + col / w.group_cols];
    const std::int64_t input = w.column_order == nullptr ? col : w.column_order[col];
    // As the kernels have it, 0 times a negative scale is +0 (ADR 0001).
    out[static_cast<std::size_t>(input)] =
        static_cast<float>(code - kernels::zero_point_of(word)) * kernels::scale_of(word) + 0.0f;
  }
}

void int4_row(const kernels::WeightMatrix& w, std::int64_t row, std::span<float> out) {
  const std::byte* codes = w.data + row * w.row_bytes();
  const std::byte* scales = w.group_scales + 2 * row * kernels::scale_groups(w.cols);
  for (std::int64_t col = 0; col < w.cols; ++col) {
    const std::byte pair = codes[col / 2];
    const auto code = std::to_integer<int>(col % 2 == 0 ? pair & std::byte{15} : pair >> 4);
    Bf16 scale = 0;
    std::memcpy(&scale, scales + 2 * (col / kScaleGroup), sizeof scale);
    // As the kernels have it, 0 times a negative scale is +0 (ADR 0001).
    out[static_cast<std::size_t>(col)] = static_cast<float>(code - 8) * bf16_to_f32(scale) + 0.0f;
  }
}

}  // namespace

void dequantise_row(const kernels::WeightMatrix& w, std::int64_t row, std::span<float> out) {
  const std::byte* at = w.data + row * w.row_bytes();
  switch (w.dtype) {
    case DType::f8_e4m3: {
      static const std::array<float, 256> values = e4m3_values();
      return scaled_row(w, row, out,
                        [](std::byte code) { return values[std::to_integer<std::size_t>(code)]; });
    }
    case DType::i8:
      return scaled_row(w, row, out, [](std::byte code) {
        return static_cast<float>(std::to_integer<std::int8_t>(code));
      });
    case DType::i32:
      return w.zeroed_scales != nullptr ? zeroed_row(w, row, out) : int4_row(w, row, out);
    case DType::bf16:
      for (std::size_t i = 0; i < out.size(); ++i) {
        Bf16 bits = 0;
        std::memcpy(&bits, at + 2 * i, sizeof bits);
        out[i] = bf16_to_f32(bits);
      }
      return;
    default: std::memcpy(out.data(), at, out.size() * sizeof(float)); return;
  }
}

}  // namespace troupe::model
