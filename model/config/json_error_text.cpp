// Takes nlohmann's messages apart: "[json.exception.parse_error.101] parse error at line 2, column
// 3: syntax error while parsing object key - unexpected '}'; expected string literal".
#include "model/config/json_error_text.hpp"

#include "model/tokenizer/utf8.hpp"

namespace troupe::model {
namespace {

/// Cuts `text` behind the first `mark` and gives what stood in front; without one, nothing is cut.
std::string_view cut_behind(std::string_view& text, std::string_view mark) {
  const std::size_t at = text.find(mark);
  if (at == std::string_view::npos) return {};
  const std::string_view front = text.substr(0, at);
  text.remove_prefix(at + mark.size());
  return front;
}

}  // namespace

std::string json_error_text(std::string_view what, std::size_t byte) {
  if (what.starts_with("[json.exception.")) cut_behind(what, "] ");
  std::string place = "byte " + std::to_string(byte);
  constexpr std::string_view kPlace = "parse error at ";
  if (what.starts_with(kPlace)) {
    what.remove_prefix(kPlace.size());
    place.append(" (").append(cut_behind(what, ": ")).append(")");
  }
  if (what.starts_with("syntax error while parsing ")) cut_behind(what, " - ");
  if (first_invalid_utf8(what)) what = what.substr(0, what.find("; last read: "));
  return "not JSON at " + place + ": " + std::string(what);
}

}  // namespace troupe::model
