// A weight as the checkpoint stores it: the view every linear operation reads.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/dtype.hpp"

namespace troupe::kernels {

/// Edge of the square FP8 and INT8 scale blocks (specification 4.2); also the width of activation
/// blocks.
inline constexpr std::int64_t kScaleBlock = 128;
/// Columns of one row that share a scale in INT4 weights (specification 4.8).
inline constexpr std::int64_t kScaleGroup = 32;
/// 4-bit codes in one stored I32; code j of a word is its bits 4j .. 4j + 3, biased by 8.
inline constexpr std::int64_t kCodesPerWord = 8;

inline constexpr std::int64_t scale_blocks(std::int64_t n) {
  return (n + kScaleBlock - 1) / kScaleBlock;
}
inline constexpr std::int64_t scale_groups(std::int64_t n) {
  return (n + kScaleGroup - 1) / kScaleGroup;
}

/// Scale and zero point of a group of 4-bit codes in one word: an F32 of which scales that were F16
/// or BF16 leave the low 13 bits clear, and in these the zero point, 0 to 16.
inline constexpr std::uint32_t kZeroPointBits = 0x1fff;
inline std::uint32_t zeroed_scale(float scale, std::uint32_t zero_point) {
  return (std::bit_cast<std::uint32_t>(scale) & ~kZeroPointBits) | zero_point;
}
inline float scale_of(std::uint32_t word) { return std::bit_cast<float>(word & ~kZeroPointBits); }
inline int zero_point_of(std::uint32_t word) { return static_cast<int>(word & kZeroPointBits); }

/// Which elements of an F8_E4M3 or I8 weight share one of `scales`.
enum class ScaleShape : std::uint8_t {
  block,  // 128 x 128: scales [ceil(rows/128), ceil(cols/128)]
  row,    // an output feature: scales [rows]; I8 only
};

/// `y = x W^T` with W stored [rows = out features, cols = in features], row-major, contiguous.
/// `data` may start at any byte offset: kernels use unaligned loads. Nothing is owned.
struct WeightMatrix {
  const std::byte* data = nullptr;
  DType dtype = DType::f32;  // f32, bf16, f8_e4m3, i8, or i32: rows of ceil(cols/8) packed words
  std::int64_t rows = 0;     // output features
  std::int64_t cols = 0;     // input features
  const float* scales = nullptr;  // multiplied; f8_e4m3 and i8 only
  ScaleShape scale_shape = ScaleShape::block;
  /// BF16 [rows, ceil(cols/32)] as stored, at any byte offset; |scale| < 2^65; i32 only.
  const std::byte* group_scales = nullptr;
  /// Instead of these, where codes have zero points (AWQ, GPTQ): `zeroed_scale` words [rows,
  /// ceil(cols/group_cols)], |scale| < 2^65; `cols` and `group_cols` are multiples of 32.
  const std::uint32_t* zeroed_scales = nullptr;
  std::int64_t group_cols = 0;
  /// Beside zeroed_scales only: column k is multiplied with x[column_order[k]]; null: with x[k].
  const std::int32_t* column_order = nullptr;

  std::int64_t row_bytes() const {
    if (dtype == DType::i32) return (cols + kCodesPerWord - 1) / kCodesPerWord * 4;
    return cols * static_cast<std::int64_t>(bytes_of(dtype));
  }
  std::int64_t bytes() const { return rows * row_bytes(); }
  /// Whether it can be multiplied in the order of AMX's tiles.
  bool takes_tiles() const { return dtype == DType::bf16 || dtype == DType::f8_e4m3; }
  /// Whether rows quantised 1 x 128 to e4m3 may be multiplied with it.
  bool takes_quantised_rows() const { return dtype == DType::f8_e4m3; }
  /// Whether rows quantised 1 x 128 to INT8 may be multiplied with it.
  bool takes_int8_rows() const { return dtype == DType::i8 || group_scales != nullptr; }
};

}  // namespace troupe::kernels
