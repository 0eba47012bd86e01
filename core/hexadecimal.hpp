// Bytes and digits in base 16.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace troupe {

/// Lower-case hexadecimal, two digits per byte.
std::string to_hex(std::span<const std::uint8_t> bytes);

inline constexpr int kNoHexDigit = 16;

/// The value of a digit of either case; `kNoHexDigit` for anything else.
constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return kNoHexDigit;
}

}  // namespace troupe
