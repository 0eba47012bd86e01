// Python's string escapes.
#include "model/chat/jinja/escapes.hpp"

#include "core/hexadecimal.hpp"
#include "model/chat/jinja/lexer.hpp"
#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

// The single-character escapes; 0 when `c` is none.
char simple_escape(char c) {
  switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'a': return '\a';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'v': return '\v';
    case '\\':
    case '\'':
    case '"': return c;
    default: return 0;
  }
}

std::size_t hex_digits_of(char c) { return c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0; }

}  // namespace

Expected<std::string> resolve_escapes(std::string_view literal, int line) {
  std::string out;
  for (std::size_t at = 0; at < literal.size();) {
    if (literal[at] != '\\' || at + 1 == literal.size()) {
      out += literal[at++];
      continue;
    }
    const char kind = literal[at + 1];
    at += 2;
    char32_t character = 0;
    if (const char simple = simple_escape(kind)) {
      out += simple;
    } else if (kind == '\n') {  // a continued line
    } else if (hex_digit(kind) < 8) {
      character = static_cast<char32_t>(hex_digit(kind));
      for (int i = 0; i < 2 && at < literal.size() && hex_digit(literal[at]) < 8; ++i) {
        character = character * 8 + static_cast<char32_t>(hex_digit(literal[at++]));
      }
      utf8_append(out, character);
    } else if (const std::size_t count = hex_digits_of(kind)) {
      for (std::size_t i = 0; i < count; ++i, ++at) {
        if (at >= literal.size() || hex_digit(literal[at]) == kNoHexDigit) {
          return template_error(Errc::malformed, line,
                                "truncated \\" + std::string(1, kind) + " escape");
        }
        character = character * 16 + static_cast<char32_t>(hex_digit(literal[at]));
      }
      if (character > 0x10FFFF || (character >= 0xD800 && character < 0xE000)) {
        return template_error(Errc::unsupported, line, "an escape that is no Unicode character");
      }
      utf8_append(out, character);
    } else if (kind == 'N') {
      return template_error(Errc::unsupported, line, "the string escape \\N{...} is not supported");
    } else {
      out += '\\';
      out += kind;
    }
  }
  return out;
}

}  // namespace troupe::model::jinja
