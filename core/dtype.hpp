// Number formats of checkpoints and frames, and the exact conversions between them and F32.
#pragma once
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/expected.hpp"

namespace troupe {

/// Element types of safetensors (specification 2.7). Values travel in frames: append only.
enum class DType : std::uint8_t {
  f32 = 0,
  bf16 = 1,
  f8_e4m3 = 2,
  f16 = 3,
  f64 = 4,
  f8_e5m2 = 5,
  f8_e8m0 = 6,
  i8 = 7,
  u8 = 8,
  i16 = 9,
  i32 = 10,
  i64 = 11,
  boolean = 12,
};

std::size_t bytes_of(DType dtype);
/// The name safetensors headers use, e.g. "F8_E4M3".
std::string_view to_string(DType dtype);
/// *Errors*: `unsupported` with the name when it is not one of the above.
Expected<DType> parse_dtype(std::string_view name);

/// Raw BF16 bits.
using Bf16 = std::uint16_t;

inline float bf16_to_f32(Bf16 bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Nearest BF16, ties to even; NaN stays NaN (quiet), infinities stay.
inline Bf16 f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<Bf16>((bits >> 16) | 0x40u);
  return static_cast<Bf16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/// `value` rounded to the nearest number that BF16 can hold.
inline float round_to_bf16(float value) { return bf16_to_f32(f32_to_bf16(value)); }

/// Value of an e4m3fn code: 1 sign, 4 exponent (bias 7), 3 mantissa bits; 0x7F and 0xFF are NaN.
/// *Source*: specification 4.1.
float e4m3_to_f32(std::uint8_t code);

/// Nearest e4m3fn code, ties to even, saturating at +-448. NaN gives 0x7F.
std::uint8_t f32_to_e4m3(float value);

/// Value of a ue8m0 code: 2^(code - 127); 0xFF is NaN.
float e8m0_to_f32(std::uint8_t code);

/// IEEE half to F32, exact.
float f16_to_f32(std::uint16_t bits);

inline constexpr std::uint8_t kE4m3NaN = 0x7f;
inline constexpr bool is_e4m3_nan(std::uint8_t code) { return (code & 0x7f) == kE4m3NaN; }

}  // namespace troupe
