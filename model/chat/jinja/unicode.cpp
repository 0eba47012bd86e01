// UTF-8 walking and the character classes of Python's string methods.
#include "model/chat/jinja/unicode.hpp"

#include <algorithm>

#include "model/chat/jinja/case_tables.hpp"

namespace troupe::model::jinja {
namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

std::string utf8(char32_t character) {
  std::string out;
  utf8_append(out, character);
  return out;
}

std::string mapped(const CaseTable& table, char32_t character) {
  for (const CaseSpecial& special : table.specials) {
    if (special.character == character) return special.mapped;
  }
  auto range = std::upper_bound(table.ranges.begin(), table.ranges.end(), character,
                                [](char32_t c, const CaseRange& r) { return c < r.first; });
  if (range == table.ranges.begin()) return utf8(character);
  --range;
  if (character <= range->last && (character - range->first) % range->step == 0) {
    return utf8(static_cast<char32_t>(static_cast<std::int32_t>(character) + range->delta));
  }
  return utf8(character);
}

// Length of the sequence that `lead` begins and the smallest character it may encode; 0: invalid.
std::pair<std::size_t, char32_t> sequence_of(unsigned char lead) {
  if (lead < 0x80) return {1, 0};
  if (lead >= 0xC2 && lead < 0xE0) return {2, 0x80};
  if (lead >= 0xE0 && lead < 0xF0) return {3, 0x800};
  if (lead >= 0xF0 && lead < 0xF5) return {4, 0x10000};
  return {0, 0};
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const auto [width, smallest] = sequence_of(static_cast<unsigned char>(bytes[at]));
    if (width == 0 || at + width > bytes.size()) return false;
    for (std::size_t i = 1; i < width; ++i) {
      if (!is_continuation(bytes[at + i])) return false;
    }
    const char32_t character = utf8_decode(bytes, at);
    if (character < smallest || character > 0x10FFFF) return false;
    if (character >= 0xD800 && character < 0xE000) return false;
    at += width;
  }
  return true;
}

std::size_t utf8_width(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

char32_t utf8_decode(std::string_view bytes, std::size_t at) {
  const std::size_t width = utf8_width(bytes[at]);
  const auto lead = static_cast<unsigned char>(bytes[at]);
  if (width == 1) return lead;
  char32_t character = lead & (0x7F >> width);
  for (std::size_t i = 1; i < width; ++i) {
    character = character << 6 | (static_cast<unsigned char>(bytes[at + i]) & 0x3F);
  }
  return character;
}

void utf8_append(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  if (c >= 0x10000) {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
  } else if (c >= 0x800) {
    out += static_cast<char>(0xE0 | c >> 12);
  }
  out += c >= 0x800 ? static_cast<char>(0x80 | (c >> 6 & 0x3F)) : static_cast<char>(0xC0 | c >> 6);
  out += static_cast<char>(0x80 | (c & 0x3F));
}

std::size_t utf8_length(std::string_view bytes) {
  return static_cast<std::size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char byte) { return !is_continuation(byte); }));
}

std::size_t utf8_offset(std::string_view bytes, std::size_t index) {
  std::size_t at = 0;
  while (index > 0 && at < bytes.size()) {
    at += utf8_width(bytes[at]);
    --index;
  }
  return at;
}

std::size_t utf8_previous(std::string_view bytes, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && is_continuation(bytes[at])) --at;
  return at;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_line_break(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

std::string to_upper(char32_t c) {
  if (c < 0x80) return {static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c)};
  return mapped(kUpperCase, c);
}

std::string to_lower(char32_t c) {
  if (c < 0x80) return {static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c)};
  return mapped(kLowerCase, c);
}

bool is_upper(char32_t c) { return to_lower(c) != utf8(c) && to_upper(c) == utf8(c); }
bool is_lower(char32_t c) { return to_upper(c) != utf8(c); }

}  // namespace troupe::model::jinja
