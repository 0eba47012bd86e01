// Rows of F32 as INT8 and INT4 codes with their scales: round to nearest, the largest value kept.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/dtype.hpp"

namespace troupe::model {

/// A part of a matrix, row-major.
struct Rows {
  std::span<const float> values;  // [count, cols]
  std::int64_t count = 0;
  std::int64_t cols = 0;
};

/// Up to 128 rows in blocks of 128 columns: scale = amax / 127 (at least 2^-126), code = value /
/// scale to the nearest whole number, ties to even. codes [count, cols], scales [ceil(cols/128)].
/// False when a value is NaN or infinite. *Source*: specification 4.8, block INT8.
bool quantise_int8_blocks(const Rows& rows, std::span<std::int8_t> codes, std::span<float> scales);

/// The same with one scale for the whole of each row: scales [count].
bool quantise_int8_rows(const Rows& rows, std::span<std::int8_t> codes, std::span<float> scales);

/// One row in groups of 32: scale = BF16 of amax / 7.5 (at least 2^-126), code = value / scale to
/// the nearest whole number from -8 to 7, as compressed-tensors' symmetric min-max observer has it.
/// packed [ceil(cols/8)] words, code j of a word in bits 4j .. 4j + 3, biased by 8 (0 stands behind
/// the last column); scales [ceil(cols/32)]. False when a scale would be 2^65 or more (ADR 0001).
bool quantise_int4_row(std::span<const float> row, std::span<std::uint32_t> packed,
                       std::span<Bf16> scales);

}  // namespace troupe::model
