// The few Unicode questions that Python's string methods ask, over UTF-8.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::model::jinja {

/// True for well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view bytes);

/// Bytes of the character that begins with `lead`, which must be the first byte of valid UTF-8.
std::size_t utf8_width(char lead);
/// The character at `at`; `bytes` must be valid UTF-8 and `at` on a boundary.
char32_t utf8_decode(std::string_view bytes, std::size_t at);
void utf8_append(std::string& out, char32_t character);
/// Characters (code points) in valid UTF-8.
std::size_t utf8_length(std::string_view bytes);
/// Byte offset of character `index`; `bytes.size()` when there are fewer.
std::size_t utf8_offset(std::string_view bytes, std::size_t index);
/// Where the character that ends at `end` (> 0) begins.
std::size_t utf8_previous(std::string_view bytes, std::size_t end);

/// Python's `str.isspace` for one character.
bool is_space(char32_t character);
/// Where Python's `str.splitlines` cuts (`\r\n` counts as one cut, which the caller joins).
bool is_line_break(char32_t character);

/// Python's `str.upper` / `str.lower` of one character; may be several characters ("ß" -> "SS").
std::string to_upper(char32_t character);
std::string to_lower(char32_t character);
/// True when the character has case, i.e. is an upper, lower or title case letter.
bool is_upper(char32_t character);
bool is_lower(char32_t character);

}  // namespace troupe::model::jinja
