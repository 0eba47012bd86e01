// Template source to tokens, with Jinja's whitespace control.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"

namespace troupe::model::jinja {

enum class TokenKind : std::uint8_t {
  data,            // text between tags, whitespace control already applied
  variable_begin,  // {{
  variable_end,
  block_begin,  // {%
  block_end,
  name,
  string,   // text: the characters, escapes resolved
  integer,  // text: decimal, octal (0o), hexadecimal (0x) or binary (0b) digits, no underscores
  real,
  symbol,  // text: the operator
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;
  int line = 0;
};

/// Tokens of `source`, ending with one of kind `end`. Follows Jinja with trim_blocks and
/// lstrip_blocks on and keep_trailing_newline off, which is how transformers sets it.
/// *Errors*: malformed (not UTF-8, an unclosed tag, unbalanced brackets, ...), unsupported (a
/// string escape or identifier Troupe does not read); the text names the line.
Expected<std::vector<Token>> tokenize(std::string_view source);

/// An error about the template with its line, as the lexer and the parser give it.
Unexpected template_error(Errc code, int line, std::string_view what);

}  // namespace troupe::model::jinja
