// UTF-8: checks text that comes in, and makes whole characters of bytes that arrive in parts.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::model {

/// The byte offset of the first ill-formed sequence (surrogates, overlong forms and values above
/// U+10FFFF included), or nothing when `text` is well-formed.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

/// The longest beginning of at most `bytes_max` bytes that does not end inside a character.
std::string utf8_prefix(std::string_view text, std::size_t bytes_max);

/// The UTF-8 bytes of `code_point`, which must not be a surrogate nor above U+10FFFF.
std::string utf8_of(char32_t code_point);

/// The code point that starts at `text[at]` and its length in bytes. `text` must be well-formed.
struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 0;
};
CodePoint code_point_at(std::string_view text, std::size_t at);

/// Emits each character as soon as its last byte is there. A byte that cannot continue the
/// sequence before it turns the maximal valid part of that sequence into one U+FFFD at once. The
/// bytes of an encoded surrogate are the exception: held until its end, then one U+FFFD each, as
/// Python's incremental decoder does (the goldens come from it; the joined text is the same).
/// Source: Unicode 14, section 3.9, "U+FFFD Substitution of Maximal Subparts".
class Utf8Assembler {
 public:
  void push(std::string_view bytes, std::string& out);
  /// Replaces an unfinished sequence by U+FFFD and starts afresh.
  void finish(std::string& out);

 private:
  void push_byte(std::uint8_t byte, std::string& out);
  bool holds_surrogate() const;

  std::array<char, 4> pending_{};
  std::size_t pending_bytes_ = 0;
  std::size_t missing_bytes_ = 0;
  std::uint8_t next_low_ = 0x80;   // bounds of the next continuation byte: tighter than 80..BF
  std::uint8_t next_high_ = 0xbf;  // after E0, ED, F0 and F4 (Unicode 14, table 3-7)
};

}  // namespace troupe::model
