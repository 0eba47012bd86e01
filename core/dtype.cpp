// Exact conversions between the stored number formats and F32.
#include "core/dtype.hpp"

#include <array>
#include <limits>
#include <string>
#include <utility>

namespace troupe {
namespace {

constexpr std::array<std::pair<DType, std::string_view>, 13> kNames{{
    {DType::f32, "F32"},
    {DType::bf16, "BF16"},
    {DType::f8_e4m3, "F8_E4M3"},
    {DType::f16, "F16"},
    {DType::f64, "F64"},
    {DType::f8_e5m2, "F8_E5M2"},
    {DType::f8_e8m0, "F8_E8M0"},
    {DType::i8, "I8"},
    {DType::u8, "U8"},
    {DType::i16, "I16"},
    {DType::i32, "I32"},
    {DType::i64, "I64"},
    {DType::boolean, "BOOL"},
}};

}  // namespace

std::size_t bytes_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16:
    case DType::f16:
    case DType::i16: return 2;
    case DType::f8_e4m3:
    case DType::f8_e5m2:
    case DType::f8_e8m0:
    case DType::i8:
    case DType::u8:
    case DType::boolean: return 1;
  }
  return 0;
}

std::string_view to_string(DType dtype) {
  for (const auto& [value, name] : kNames)
    if (value == dtype) return name;
  return "unknown";
}

Expected<DType> parse_dtype(std::string_view name) {
  for (const auto& [value, text] : kNames)
    if (text == name) return value;
  return unexpected(Errc::unsupported, "dtype " + std::string(name) + " is not known");
}

float e4m3_to_f32(std::uint8_t code) {
  if (is_e4m3_nan(code)) return std::numeric_limits<float>::quiet_NaN();
  const int exponent = (code >> 3) & 15;
  const int mantissa = code & 7;
  const float magnitude = exponent == 0
                              ? static_cast<float>(mantissa) * 0x1p-9f  // subnormal: m * 2^-9
                              : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

std::uint8_t f32_to_e4m3(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint8_t>((bits >> 24) & 0x80u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint8_t>(sign | kE4m3NaN);
  if (magnitude >= std::bit_cast<std::uint32_t>(448.0f)) {
    return static_cast<std::uint8_t>(sign | 0x7e);
  }
  if (magnitude < std::bit_cast<std::uint32_t>(0x1p-6f)) {
    // Subnormal: adding 2^14 leaves a spacing of 2^-9 in F32, so the addition itself rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14f;
    return static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(shifted) & 0xfu));
  }
  // 20 = 23 - 3 mantissa bits are rounded away; the exponent bias moves from 127 to 7.
  const std::uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  const std::uint32_t code = (rounded >> 20) - (120u << 3);
  return static_cast<std::uint8_t>(sign | (code > 0x7e ? 0x7e : code));
}

float e8m0_to_f32(std::uint8_t code) {
  if (code == 0xff) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, static_cast<int>(code) - 127);
}

float f16_to_f32(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const auto mantissa = static_cast<float>(bits & 1023);
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 31)
    return mantissa == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024.0f + mantissa, exponent - 25);
}

}  // namespace troupe
