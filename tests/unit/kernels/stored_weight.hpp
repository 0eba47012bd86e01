// Random weights in every format that checkpoints store, with the values they stand for.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <random>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/ops/weight_matrix.hpp"

namespace troupe::kernels {

struct WeightFormat {
  std::string_view name;
  DType dtype;
  ScaleShape scale_shape = ScaleShape::block;
  std::int64_t group_cols = 0;  // more than 0: codes with zero points in such groups
  bool ordered = false;         // columns in another order than the inputs

  /// The least width from `cols` on that a weight of this format can have.
  std::int64_t width(std::int64_t cols) const {
    return group_cols == 0 ? cols : (cols + kScaleGroup - 1) / kScaleGroup * kScaleGroup;
  }
};

inline constexpr WeightFormat kE4m3{"e4m3", DType::f8_e4m3};
inline constexpr WeightFormat kBf16{"BF16", DType::bf16};
inline constexpr WeightFormat kF32{"F32", DType::f32};
inline constexpr WeightFormat kInt8Blocks{"INT8 blocks", DType::i8};
inline constexpr WeightFormat kInt8Rows{"INT8 rows", DType::i8, ScaleShape::row};
inline constexpr WeightFormat kInt4{"INT4", DType::i32};
inline constexpr WeightFormat kInt4Zeroed32{
    .name = "INT4 zeroed 32", .dtype = DType::i32, .group_cols = 32};
inline constexpr WeightFormat kInt4Zeroed96{
    .name = "INT4 zeroed 96 ordered", .dtype = DType::i32, .group_cols = 96, .ordered = true};
inline constexpr WeightFormat kInt4Zeroed128{
    .name = "INT4 zeroed 128", .dtype = DType::i32, .group_cols = 128};
inline constexpr std::array kFormats{kE4m3, kBf16,         kF32,          kInt8Blocks,   kInt8Rows,
                                     kInt4, kInt4Zeroed32, kInt4Zeroed96, kInt4Zeroed128};

inline std::vector<float> normal_floats(std::mt19937& random, std::int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

/// Values of many magnitudes, zeros of both signs and subnormals among them.
inline std::vector<float> random_floats(std::mt19937& random, std::int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) {
    v = normal(random);
    switch (random() % 64) {
      case 0: v = 0.0f; break;
      case 1: v = -0.0f; break;
      case 2: v *= 1e-39f; break;
      case 3: v *= 1e-20f; break;
      case 4: v *= 1e6f; break;
      default: break;
    }
  }
  return values;
}

/// Draws n values for weights or scales.
using DrawFloats = std::vector<float> (*)(std::mt19937& random, std::int64_t n);

struct StoredWeight {
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  std::vector<std::byte> group_scales;
  std::vector<std::uint32_t> zeroed_scales;
  std::vector<std::int32_t> column_order;
  WeightMatrix view;  // of the above

  /// The input that column `col` is multiplied with.
  std::int64_t input(std::int64_t col) const {
    return column_order.empty() ? col : column_order[static_cast<std::size_t>(col)];
  }

  std::uint32_t group_word(std::int64_t row, std::int64_t col) const {
    const std::int64_t groups = (view.cols + view.group_cols - 1) / view.group_cols;
    return zeroed_scales[static_cast<std::size_t>(row * groups + col / view.group_cols)];
  }

  /// What the code at (row, col) stands for before its scale.
  float code(std::int64_t row, std::int64_t col) const {
    const std::byte* at = bytes.data() + row * view.row_bytes();
    if (view.dtype == DType::i32)
      return static_cast<float>((std::to_integer<int>(at[col / 2]) >> (col % 2 == 0 ? 0 : 4) & 15) -
                                (zeroed_scales.empty() ? 8 : zero_point_of(group_word(row, col))));
    at += col * static_cast<std::int64_t>(bytes_of(view.dtype));
    if (view.dtype == DType::f8_e4m3) return e4m3_to_f32(std::to_integer<std::uint8_t>(*at));
    if (view.dtype == DType::i8) return static_cast<float>(std::to_integer<std::int8_t>(*at));
    if (view.dtype == DType::bf16) {
      Bf16 bits = 0;
      std::memcpy(&bits, at, sizeof(bits));
      return bf16_to_f32(bits);
    }
    float v = 0;
    std::memcpy(&v, at, sizeof(v));
    return v;
  }

  float scale(std::int64_t row, std::int64_t col) const {
    if (!zeroed_scales.empty()) return scale_of(group_word(row, col));
    if (view.dtype == DType::i32) {
      Bf16 bits = 0;
      std::memcpy(&bits,
                  &group_scales[static_cast<std::size_t>(
                      2 * (row * scale_groups(view.cols) + col / kScaleGroup))],
                  sizeof(bits));
      return bf16_to_f32(bits);
    }
    if (scales.empty()) return 1;
    if (view.scale_shape == ScaleShape::row) return scales[static_cast<std::size_t>(row)];
    return scales[static_cast<std::size_t>(row / kScaleBlock * scale_blocks(view.cols) +
                                           col / kScaleBlock)];
  }

  double value(std::int64_t row, std::int64_t col) const {
    return static_cast<double>(code(row, col)) * static_cast<double>(scale(row, col));
  }
  /// The F32 weight that packed codes stand for, exactly; +0 where that is -0.
  std::vector<float> values() const {
    std::vector<float> out;
    for (std::int64_t row = 0; row < view.rows; ++row)
      for (std::int64_t col = 0; col < view.cols; ++col)
        out.push_back(code(row, col) * scale(row, col) + 0.0f);
    return out;
  }
};

/// Codes are uniform over all that are numbers (what pads a packed row, too), other weights and all
/// scales come from `draw`.
inline StoredWeight random_weight(std::mt19937& random, const WeightFormat& format,
                                  std::int64_t rows, std::int64_t cols, DrawFloats draw) {
  StoredWeight w;
  w.view = {.dtype = format.dtype, .rows = rows, .cols = cols, .scale_shape = format.scale_shape};
  w.bytes.resize(static_cast<std::size_t>(w.view.bytes()));
  if (format.dtype == DType::bf16 || format.dtype == DType::f32) {
    const std::vector<float> values = draw(random, rows * cols);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Bf16 half = f32_to_bf16(values[i]);
      if (format.dtype == DType::bf16)
        std::memcpy(&w.bytes[2 * i], &half, 2);
      else
        std::memcpy(&w.bytes[4 * i], &values[i], 4);
    }
  } else {
    for (std::byte& b : w.bytes) {
      auto code = static_cast<std::uint8_t>(random());
      if (format.dtype == DType::f8_e4m3 && is_e4m3_nan(code)) code = 0x80;
      b = static_cast<std::byte>(code);
    }
  }
  if (format.group_cols > 0) {
    w.view.group_cols = format.group_cols;
    const std::int64_t groups = (cols + format.group_cols - 1) / format.group_cols;
    for (const float scale : draw(random, rows * groups))
      w.zeroed_scales.push_back(zeroed_scale(scale, random() % 17));
    w.view.zeroed_scales = w.zeroed_scales.data();
    if (format.ordered) {
      w.column_order.resize(static_cast<std::size_t>(cols));
      std::iota(w.column_order.begin(), w.column_order.end(), 0);
      std::shuffle(w.column_order.begin(), w.column_order.end(), random);
      w.view.column_order = w.column_order.data();
    }
  } else if (format.dtype == DType::i32) {
    for (const float scale : draw(random, rows * scale_groups(cols))) {
      const Bf16 bits = f32_to_bf16(scale);
      w.group_scales.push_back(static_cast<std::byte>(bits & 0xff));
      w.group_scales.push_back(static_cast<std::byte>(bits >> 8));
    }
    w.view.group_scales = w.group_scales.data();
  } else if (format.dtype == DType::f8_e4m3 || format.dtype == DType::i8) {
    const bool by_row = format.scale_shape == ScaleShape::row;
    w.scales = draw(random, by_row ? rows : scale_blocks(rows) * scale_blocks(cols));
    w.view.scales = w.scales.data();
  }
  w.view.data = w.bytes.data();
  return w;
}

/// INT4, 16 rows: row i is full of code i; scales of all groups differ from their neighbours'.
inline StoredWeight every_int4_code(std::int64_t cols) {
  StoredWeight w;
  w.view = {.dtype = DType::i32, .rows = 16, .cols = cols};
  for (int code = 0; code < 16; ++code)
    w.bytes.insert(w.bytes.end(), static_cast<std::size_t>(w.view.row_bytes()),
                   static_cast<std::byte>(code | code << 4));
  for (int i = 0; i < 16 * scale_groups(cols); ++i) {
    const Bf16 scale = f32_to_bf16(0.25f * static_cast<float>(1 + i % 7));
    w.group_scales.push_back(static_cast<std::byte>(scale & 0xff));
    w.group_scales.push_back(static_cast<std::byte>(scale >> 8));
  }
  w.view.data = w.bytes.data();
  w.view.group_scales = w.group_scales.data();
  return w;
}

}  // namespace troupe::kernels
