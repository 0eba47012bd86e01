// Copies what both regular-expression engines read alike and refuses the rest by name.
#include "model/tokenizer/split_pattern.hpp"

#include <cctype>
#include <utility>

namespace troupe::model {
namespace {

// White_Space of Unicode 14 (PropList.txt), as the inside of a class, and its complement.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029})"
    R"(\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff})"
    R"(\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";

bool is_hex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  Expected<std::string> run() {
    while (at_ < pattern_.size()) {
      if (auto done = one(); !done) return unexpected(done.error());
    }
    return std::move(out_);
  }

 private:
  bool looking_at(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }

  Unexpected refuse(std::size_t bytes) const {
    std::string detail(pattern_.substr(at_, bytes));
    detail += " at byte " + std::to_string(at_) + " of the pattern is not supported";
    return unexpected(Errc::unsupported, std::move(detail));
  }
  Unexpected ends_early(std::string_view what) const {
    return unexpected(Errc::malformed, "the pattern ends inside " + std::string(what));
  }

  Expected<void> copy(std::size_t bytes) {
    out_ += pattern_.substr(at_, bytes);
    at_ += bytes;
    return {};
  }
  Expected<void> replace(std::size_t bytes, std::string_view text) {
    out_ += text;
    at_ += bytes;
    return {};
  }

  Expected<void> replace_by_class(std::string_view open, std::string_view inside) {
    out_ += open;
    out_ += inside;
    return replace(2, "]");
  }

  Expected<void> one() {
    switch (pattern_[at_]) {
      case '\\': return escape(/*in_class=*/false);
      case '[': return character_class();
      case '(': return group();
      case '{': return interval();
      case '^':
      case '$': return refuse(1);  // Oniguruma's anchors match at every line
      default: return copy(1);
    }
  }

  Expected<void> group() {
    if (!looking_at("(?") && !looking_at("(*")) return copy(1);
    for (const std::string_view open : {"(?:", "(?i:", "(?>", "(?=", "(?!", "(?<=", "(?<!"}) {
      if (looking_at(open)) return copy(open.size());
    }
    return refuse(3);
  }

  /// `{n}`, `{n,}` or `{n,m}`; a `?` or `+` after it means something else in Oniguruma.
  Expected<void> interval() {
    std::size_t end = at_ + 1;
    const auto digits = [&] {
      const std::size_t begin = end;
      while (end < pattern_.size() && is_digit(pattern_[end])) ++end;
      return end - begin;
    };
    if (digits() == 0) return refuse(2);
    if (end < pattern_.size() && pattern_[end] == ',') {
      ++end;
      digits();
    }
    if (end >= pattern_.size()) return ends_early("a repeat count");
    if (pattern_[end] != '}') return refuse(end + 1 - at_);
    const char next = end + 1 < pattern_.size() ? pattern_[end + 1] : '\0';
    if (next == '+' || next == '?') return refuse(end + 2 - at_);
    return copy(end + 1 - at_);
  }

  Expected<void> character_class() {
    class_begin_ = at_ + (looking_at("[^") ? 2 : 1);
    if (auto opened = copy(looking_at("[^") ? 2 : 1); !opened) return opened;
    if (looking_at("]")) return refuse(1);
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == ']') return copy(1);
      if (c == '[') return refuse(1);
      if (looking_at("&&")) return refuse(2);
      if (auto done = c == '\\' ? escape(/*in_class=*/true) : copy(1); !done) return done;
    }
    return ends_early("a character class");
  }

  Expected<void> escape(bool in_class) {
    if (at_ + 1 >= pattern_.size()) return ends_early("an escape");
    const char kind = pattern_[at_ + 1];
    const bool is_set = std::string_view("sSdDpP").find(kind) != std::string_view::npos;
    if (in_class && is_set && range_ends_here()) return refuse(2);
    const Expected<void> done = escape_of(kind, in_class);
    // A set is no end of a range, and the two engines disagree about what `[\d-x]` is then.
    if (done && in_class && is_set && looking_at("-") && !looking_at("-]")) return refuse(1);
    return done;
  }

  /// Whether an unescaped `-` with something before it stands right before `at_` in this class.
  bool range_ends_here() const {
    return at_ >= class_begin_ + 2 && pattern_[at_ - 1] == '-' && pattern_[at_ - 2] != '\\';
  }

  Expected<void> escape_of(char kind, bool in_class) {
    switch (kind) {
      case 's': return in_class ? replace(2, kSpace) : replace_by_class("[", kSpace);
      case 'S': return in_class ? replace(2, kNotSpace) : replace_by_class("[^", kSpace);
      case 'v': return replace(2, "\\x{b}");  // one character for Oniguruma, a class for PCRE2
      case 'd':
      case 'D':
      case 'r':
      case 'n':
      case 't':
      case 'f':
      case 'a':
      case 'e': return copy(2);
      case 'p':
      case 'P': return property();
      case 'x':
      case 'u': return code_point(kind);
      default:
        if (is_alnum(kind) || static_cast<unsigned char>(kind) >= 0x80) return refuse(2);
        return copy(2);
    }
  }

  Expected<void> property() {
    const std::size_t close = pattern_.find('}', at_);
    if (!pattern_.substr(at_ + 2).starts_with('{')) return refuse(2);
    if (close == std::string_view::npos) return ends_early("\\p{...}");
    for (std::size_t i = at_ + 3; i < close; ++i) {
      const bool negation = pattern_[i] == '^' && i == at_ + 3;
      if (!is_alnum(pattern_[i]) && pattern_[i] != '_' && !negation) return refuse(close + 1 - at_);
    }
    return copy(close + 1 - at_);
  }

  /// `\x{H..}`, `\xHH` below 80 (above it is a raw byte in Oniguruma) and `\uHHHH`.
  Expected<void> code_point(char kind) {
    std::size_t begin = at_ + 2;
    const bool braced = kind == 'x' && pattern_.substr(begin).starts_with('{');
    if (braced) ++begin;
    const std::size_t digits_max = braced ? 6 : kind == 'x' ? 2 : 4;
    std::size_t end = begin;
    while (end < pattern_.size() && end - begin < digits_max && is_hex(pattern_[end])) ++end;
    const std::string digits(pattern_.substr(begin, end - begin));
    if (braced) {
      if (digits.empty() || !pattern_.substr(end).starts_with('}')) return refuse(end - at_);
      ++end;
    } else if (digits.size() != digits_max || (kind == 'x' && digits[0] >= '8')) {
      return refuse(end - at_);
    }
    return replace(end - at_, "\\x{" + digits + "}");
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
  std::size_t class_begin_ = 0;  // first byte inside the class that is being read
  std::string out_;
};

}  // namespace

Expected<std::string> translate_split_pattern(std::string_view pattern) {
  return Translator(pattern).run();
}

std::string literal_split_pattern(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = is_alnum(c) || static_cast<unsigned char>(c) >= 0x80 || c == '\0';
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace troupe::model
