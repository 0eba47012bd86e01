// A weight as the checkpoint stores it: the view every linear operation reads.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.hpp"

namespace troupe::kernels {

/// Edge of the square FP8 scale blocks (specification 4.2); also the width of activation blocks.
inline constexpr std::int64_t kScaleBlock = 128;

inline constexpr std::int64_t scale_blocks(std::int64_t n) {
  return (n + kScaleBlock - 1) / kScaleBlock;
}

/// `y = x W^T` with W stored [rows = out features, cols = in features], row-major, contiguous.
/// `data` may start at any byte offset: kernels use unaligned loads. Nothing is owned.
struct WeightMatrix {
  const std::byte* data = nullptr;
  DType dtype = DType::f32;       // f8_e4m3 (with scales), bf16 or f32
  std::int64_t rows = 0;          // output features
  std::int64_t cols = 0;          // input features
  const float* scales = nullptr;  // [ceil(rows/128), ceil(cols/128)], multiplied; f8_e4m3 only

  std::int64_t row_bytes() const { return cols * static_cast<std::int64_t>(bytes_of(dtype)); }
  std::int64_t bytes() const { return rows * row_bytes(); }
};

}  // namespace troupe::kernels
