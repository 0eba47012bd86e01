// Scans weights eight bytes at a time for codes that are no numbers.
#include "model/checkpoint/weight_codes.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

namespace troupe::model {
namespace {

/// An element is no number iff (element & mask) == mask, and then adding `step`, mask's lowest bit,
/// carries exactly into the element's top bit, which mask leaves clear. Repeated over 8 bytes.
struct Pattern {
  std::uint64_t mask;
  std::uint64_t step;
  std::uint64_t top;
};

/// `element`'s bit pattern repeated to fill 64 bits.
constexpr std::uint64_t fill(std::uint64_t element, int bits) {
  std::uint64_t word = 0;
  for (int at = 0; at < 64; at += bits) word |= element << at;
  return word;
}

constexpr Pattern kE4m3{fill(0x7f, 8), fill(0x01, 8), fill(0x80, 8)};
constexpr Pattern kBf16{fill(0x7f80, 16), fill(0x0080, 16), fill(0x8000, 16)};
/// Any exponent of 192 or more: NaN, infinity, magnitudes from 2^65 on.
constexpr Pattern kGroupScale{fill(0x6000, 16), fill(0x2000, 16), fill(0x8000, 16)};
constexpr Pattern kF32{fill(0x7f800000, 32), fill(0x00800000, 32), fill(0x80000000, 32)};

/// Whether any element of `bytes` bytes, a multiple of the element's size, matches.
bool has_match(const std::byte* data, std::size_t bytes, Pattern pattern) {
  std::uint64_t found = 0;
  std::size_t i = 0;
  for (; i + 8 <= bytes; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, data + i, 8);
    found |= ((word & pattern.mask) + pattern.step) & pattern.top;
  }
  std::uint64_t rest = 0;  // zeros are numbers
  std::memcpy(&rest, data + i, bytes - i);
  found |= ((rest & pattern.mask) + pattern.step) & pattern.top;
  return found != 0;
}

/// Index of the first element that matches; there is one.
std::int64_t first_match(const std::byte* data, std::size_t element_bytes, Pattern pattern) {
  std::int64_t index = 0;
  while (!has_match(data, element_bytes, pattern)) {
    data += element_bytes;
    ++index;
  }
  return index;
}

Expected<Pattern> pattern_of(std::string_view name, DType dtype) {
  switch (dtype) {
    case DType::f8_e4m3: return kE4m3;
    case DType::bf16: return kBf16;
    case DType::f32: return kF32;
    default:
      return unexpected(Errc::unsupported, "tensor " + std::string(name) + ": weights of dtype " +
                                               std::string(to_string(dtype)) +
                                               " are not supported");
  }
}

/// Row-major elements of [rows, cols] that are scanned together.
struct Elements {
  const std::byte* data = nullptr;
  std::size_t element_bytes = 0;
  std::int64_t cols = 0;
};

/// Index of the first element of `rows` that matches, counted from row 0.
std::optional<std::int64_t> find_match(const Elements& elements, RowSpan rows, Pattern pattern) {
  constexpr std::size_t kChunk = 1 << 16;  // found within the second-level cache
  const auto row_bytes = static_cast<std::size_t>(elements.cols) * elements.element_bytes;
  const auto bytes = static_cast<std::size_t>(rows.last) * row_bytes;
  for (auto from = static_cast<std::size_t>(rows.first) * row_bytes; from < bytes; from += kChunk) {
    const std::byte* chunk = elements.data + from;
    if (has_match(chunk, std::min(kChunk, bytes - from), pattern))
      return static_cast<std::int64_t>(from / elements.element_bytes) +
             first_match(chunk, elements.element_bytes, pattern);
  }
  return std::nullopt;
}

Unexpected damaged(std::string_view name, std::string_view what, std::string_view column,
                   std::int64_t index, std::int64_t cols) {
  return unexpected(Errc::malformed, "tensor " + std::string(name) + " holds " + std::string(what) +
                                         " at row " + std::to_string(index / cols) + ", " +
                                         std::string(column) + " " + std::to_string(index % cols) +
                                         "; the file is damaged, download it again");
}

/// Every code is a number; a scale must be one that the kernels multiply exactly with.
Expected<void> check_group_scales(std::string_view name, const kernels::WeightMatrix& matrix,
                                  RowSpan rows) {
  const Elements scales{matrix.group_scales, sizeof(Bf16), kernels::scale_groups(matrix.cols)};
  const auto found = find_match(scales, rows, kGroupScale);
  if (!found) return {};
  return damaged(std::string(name) + "_scale", "NaN, infinity or a scale of 2^65 or more", "group",
                 *found, scales.cols);
}

}  // namespace

Expected<void> check_codes(std::string_view name, const kernels::WeightMatrix& matrix) {
  return check_codes(name, matrix, {0, matrix.rows});
}

Expected<void> check_codes(std::string_view name, const kernels::WeightMatrix& matrix,
                           RowSpan rows) {
  if (matrix.dtype == DType::i8 || matrix.zeroed_scales != nullptr) return {};
  if (matrix.group_scales != nullptr) return check_group_scales(name, matrix, rows);
  const Expected<Pattern> pattern = pattern_of(name, matrix.dtype);
  if (!pattern) return unexpected(pattern.error());
  const Elements elements{matrix.data, bytes_of(matrix.dtype), matrix.cols};
  const auto found = find_match(elements, rows, *pattern);
  if (!found) return {};
  const bool code = matrix.dtype == DType::f8_e4m3;
  return damaged(name, code ? "the NaN code" : "NaN or infinity", "column", *found, matrix.cols);
}

}  // namespace troupe::model
