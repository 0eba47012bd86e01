// Jinja's lexer: text, tags and their whitespace control, and the tokens inside tags.
#include "model/chat/jinja/lexer.hpp"

#include <algorithm>

#include "model/chat/jinja/escapes.hpp"
#include "model/chat/jinja/unicode.hpp"

namespace troupe::model::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// One newline convention, and no newline at the very end, as Jinja prepares its source.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Expected<std::vector<Token>> run() {
    while (at_ < source_.size()) {
      if (auto done = text_and_tag(); !done) return unexpected(done.error());
    }
    add(TokenKind::end, {});
    return std::move(tokens_);
  }

 private:
  Unexpected bad(std::string_view what) { return template_error(Errc::malformed, line_, what); }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  bool at(std::string_view expected) const {
    return std::string_view(source_).substr(at_).starts_with(expected);
  }

  // Moves to `stop`, counting lines and noting whether the next text begins a line.
  void advance_to(std::size_t stop) {
    line_ +=
        static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                    source_.begin() + static_cast<std::ptrdiff_t>(stop), '\n'));
    if (stop > at_) line_starting_ = source_[stop - 1] == '\n';
    at_ = stop;
  }

  std::size_t after_blanks(std::size_t from) const {
    while (from < source_.size()) {
      const std::size_t width = utf8_width(source_[from]);
      if (!is_space(utf8_decode(source_, from))) break;
      from += width;
    }
    return from;
  }

  std::size_t next_tag(std::size_t from) const {
    for (;; ++from) {
      from = source_.find('{', from);
      if (from == std::string::npos || from + 1 >= source_.size()) return source_.size();
      const char kind = source_[from + 1];
      if (kind == '{' || kind == '%' || kind == '#') return from;
    }
  }

  // What stays of the text before a tag with whitespace control `sign`.
  std::string_view kept(std::string_view text, char sign, bool variable) const {
    if (sign == '-') {
      while (!text.empty()) {
        const std::size_t last = utf8_previous(text, text.size());
        if (!is_space(utf8_decode(text, last))) break;
        text = text.substr(0, last);
      }
      return text;
    }
    if (sign == '+' || variable) return text;
    const std::size_t line = text.rfind('\n') + 1;  // 0 when there is none
    if (line == 0 && !line_starting_) return text;
    for (std::size_t i = line; i < text.size(); i += utf8_width(text[i])) {
      if (!is_space(utf8_decode(text, i))) return text;
    }
    return text.substr(0, line);
  }

  char sign_at(std::size_t place) const {
    const char c = place < source_.size() ? source_[place] : ' ';
    return c == '-' || c == '+' ? c : ' ';
  }

  Expected<void> text_and_tag() {
    const std::size_t tag = next_tag(at_);
    if (tag == source_.size()) {
      add(TokenKind::data, source_.substr(at_));
      advance_to(tag);
      return {};
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    const auto text = kept(std::string_view(source_).substr(at_, tag - at_), sign, kind == '{');
    if (!text.empty()) add(TokenKind::data, std::string(text));
    advance_to(tag);
    if (kind == '%' && raw_begin_end(tag) != 0) return raw_block(raw_begin_end(tag));
    advance_to(tag + (sign == ' ' ? 2 : 3));
    if (kind == '#') return comment();
    add(kind == '{' ? TokenKind::variable_begin : TokenKind::block_begin, {});
    return inside_tag(kind == '{');
  }

  // End of a tag that closes here with `close` ("%}", "#}" or "}}"); 0 when it does not.
  std::size_t tag_end(std::size_t from, std::string_view close) const {
    const std::string_view rest = std::string_view(source_).substr(from);
    const bool trims = close != "}}";
    if (rest.starts_with(close)) {
      const std::size_t stop = from + close.size();
      return trims && stop < source_.size() && source_[stop] == '\n' ? stop + 1 : stop;
    }
    if (!rest.substr(std::min<std::size_t>(1, rest.size())).starts_with(close)) return 0;
    if (rest[0] == '-') return after_blanks(from + 1 + close.size());
    return rest[0] == '+' && trims ? from + 1 + close.size() : 0;
  }

  Expected<void> comment() {
    for (std::size_t i = at_; i < source_.size(); ++i) {
      if (const std::size_t stop = tag_end(i, "#}")) {
        advance_to(stop);
        return {};
      }
    }
    return bad("a comment is never closed: '#}' is missing");
  }

  // Where `{% word %}` at `from` ends before whitespace control, or 0.
  std::size_t word_tag(std::size_t from, std::string_view word) const {
    from = after_blanks(from + (sign_at(from + 2) == ' ' ? 2 : 3));
    if (!std::string_view(source_).substr(from).starts_with(word)) return 0;
    return after_blanks(from + word.size());
  }

  std::size_t raw_begin_end(std::size_t tag) const {
    const std::size_t stop = word_tag(tag, "raw");
    if (stop == 0) return 0;
    const std::string_view rest = std::string_view(source_).substr(stop);
    if (rest.starts_with("-%}")) return after_blanks(stop + 3);
    return rest.starts_with("%}") ? stop + 2 : 0;  // Jinja does not trim the newline here
  }

  Expected<void> raw_block(std::size_t begin) {
    const int opened = line_;
    advance_to(begin);
    for (std::size_t tag = source_.find("{%", at_); tag != std::string::npos;
         tag = source_.find("{%", tag + 1)) {
      const std::size_t word = word_tag(tag, "endraw");
      const std::size_t stop = word == 0 ? 0 : tag_end(word, "%}");
      if (stop == 0) continue;
      const char sign = sign_at(tag + 2);
      const auto text = kept(std::string_view(source_).substr(at_, tag - at_), sign, false);
      if (!text.empty()) add(TokenKind::data, std::string(text));
      advance_to(stop);
      return {};
    }
    return template_error(Errc::malformed, opened, "'raw' is never closed: 'endraw' is missing");
  }

  Expected<void> inside_tag(bool variable) {
    brackets_.clear();
    for (;;) {
      if (brackets_.empty()) {
        if (const std::size_t stop = tag_end(at_, variable ? "}}" : "%}")) {
          add(variable ? TokenKind::variable_end : TokenKind::block_end, {});
          advance_to(stop);
          return {};
        }
      }
      advance_to(after_blanks(at_));
      if (at_ >= source_.size())
        return bad(variable ? "'{{' is never closed" : "'{%' is never closed");
      if (brackets_.empty() && tag_end(at_, variable ? "}}" : "%}")) continue;
      if (auto done = token(); !done) return done;
    }
  }

  Expected<void> token() {
    const char c = source_[at_];
    if (is_digit(c)) return number();
    if (starts_name(c)) return name();
    if (c == '"' || c == '\'') return string(c);
    return symbol();
  }

  Expected<void> name() {
    std::size_t stop = at_;
    while (stop < source_.size() && (starts_name(source_[stop]) || is_digit(source_[stop]))) ++stop;
    if (stop < source_.size() && (source_[stop] & 0x80)) {
      return template_error(Errc::unsupported, line_, "names with letters beyond ASCII");
    }
    add(TokenKind::name, source_.substr(at_, stop - at_));
    advance_to(stop);
    return {};
  }

  Expected<void> string(char quote) {
    std::size_t stop = at_ + 1;
    while (stop < source_.size() && source_[stop] != quote) stop += source_[stop] == '\\' ? 2 : 1;
    if (stop >= source_.size()) return bad("a string is never closed");
    auto text = resolve_escapes(std::string_view(source_).substr(at_ + 1, stop - at_ - 1), line_);
    if (!text) return unexpected(text.error());
    add(TokenKind::string, std::move(*text));
    advance_to(stop + 1);
    return {};
  }

  // Digits accepted by `is`, with single underscores between them; the offset after them.
  template <class Is>
  std::size_t digits(std::size_t from, std::string& out, Is is) const {
    while (from < source_.size()) {
      if (is(source_[from])) {
        out += source_[from++];
      } else if (source_[from] == '_' && !out.empty() && from + 1 < source_.size() &&
                 is(source_[from + 1])) {
        ++from;
      } else {
        break;
      }
    }
    return from;
  }

  Expected<void> number() {
    std::string text;
    if (source_[at_] == '0' && at_ + 1 < source_.size()) {
      const char base = static_cast<char>(source_[at_ + 1] | 0x20);
      if (base == 'x' || base == 'o' || base == 'b') return based_integer(base);
    }
    std::size_t stop = digits(at_, text, is_digit);
    bool real = false;
    if (stop + 1 < source_.size() && source_[stop] == '.' && is_digit(source_[stop + 1])) {
      real = true;
      text += '.';
      stop = digits(stop + 1, text, is_digit);
    }
    if (stop < source_.size() && (source_[stop] | 0x20) == 'e') {
      std::size_t next = stop + 1;
      const char sign = sign_at(next);
      if (sign != ' ') ++next;
      if (next < source_.size() && is_digit(source_[next])) {
        real = true;
        text += 'e';
        if (sign != ' ') text += sign;
        stop = digits(next, text, is_digit);
      }
    }
    if (!real && text.size() > 1 && text[0] == '0' &&
        text.find_first_not_of('0') != std::string::npos) {
      return bad("a number begins with 0");
    }
    add(real ? TokenKind::real : TokenKind::integer, std::move(text));
    advance_to(stop);
    return {};
  }

  Expected<void> based_integer(char base) {
    std::string text = {'0', base};
    const std::size_t stop = digits(at_ + 2, text, [base](char c) {
      if (base == 'b') return c == '0' || c == '1';
      if (base == 'o') return c >= '0' && c < '8';
      return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
    });
    if (text.size() == 2) return bad("a number has no digits after its base");
    add(TokenKind::integer, std::move(text));
    advance_to(stop);
    return {};
  }

  Expected<void> symbol() {
    static constexpr std::string_view kSymbols[] = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view symbol : kSymbols) {
      if (!at(symbol)) continue;
      if (auto balanced = balance(symbol[0]); !balanced) return balanced;
      add(TokenKind::symbol, std::string(symbol));
      advance_to(at_ + symbol.size());
      return {};
    }
    return bad("unexpected character '" + source_.substr(at_, utf8_width(source_[at_])) + "'");
  }

  Expected<void> balance(char symbol) {
    if (symbol == '(' || symbol == '[' || symbol == '{') {
      brackets_ += symbol == '(' ? ')' : symbol == '[' ? ']' : '}';
    } else if (symbol == ')' || symbol == ']' || symbol == '}') {
      if (brackets_.empty()) return bad("unexpected '" + std::string(1, symbol) + "'");
      if (brackets_.back() != symbol) {
        return bad("unexpected '" + std::string(1, symbol) + "', expected '" + brackets_.back() +
                   "'");
      }
      brackets_.pop_back();
    }
    return {};
  }

  std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string brackets_;  // the closing ones that are awaited
  std::vector<Token> tokens_;
};

}  // namespace

Unexpected template_error(Errc code, int line, std::string_view what) {
  return unexpected(code, "chat template, line " + std::to_string(line) + ": " + std::string(what));
}

Expected<std::vector<Token>> tokenize(std::string_view source) {
  if (!is_utf8(source)) return template_error(Errc::malformed, 1, "the template is not UTF-8");
  return Lexer(normalized(source)).run();
}

}  // namespace troupe::model::jinja
