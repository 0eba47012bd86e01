// Escapes that keep a log line one line, whatever a peer has sent.
#include "services/runtime/log/json_text.hpp"

#include <array>
#include <cstdio>

#include "model/tokenizer/utf8.hpp"

namespace troupe::services {
namespace {

std::string well_formed(std::string_view text) {
  std::string out;
  model::Utf8Assembler characters;
  characters.push(text, out);
  characters.finish(out);
  return out;
}

bool is_control(char c) { return (c >= 0 && c < 0x20) || c == 0x7F; }

}  // namespace

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : well_formed(text)) {
    if (is_control(c)) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escape.data();
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string printable(std::string_view text) {
  std::string out = well_formed(text);
  for (char& c : out)
    if (is_control(c)) c = '?';
  return out;
}

}  // namespace troupe::services
