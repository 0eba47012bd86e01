// Recursive descent over a pattern; every construct that is not taken is refused by its name.
#include <array>
#include <charconv>
#include <optional>
#include <string>

#include "model/grammar/regex.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::model::grammar {
namespace {

const CodePointSet kDigits{{'0', '9'}};
const CodePointSet kWord{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CodePointSet kSpace{{'\t', '\r'}, {' ', ' '}};
const CodePointSet kLineEnds{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

struct Construct {
  std::string_view begin;
  std::string_view name;
};
// Longer ones before their prefixes.
constexpr std::array<Construct, 16> kGroups{{{"(?=", "look-ahead"},
                                             {"(?!", "negative look-ahead"},
                                             {"(?<=", "look-behind"},
                                             {"(?<!", "negative look-behind"},
                                             {"(?>", "an atomic group"},
                                             {"(?<", "a named group; use ( ) or (?: )"},
                                             {"(?P<", "a named group; use ( ) or (?: )"},
                                             {"(?P=", "a back-reference"},
                                             {"(?P>", "recursion"},
                                             {"(?'", "a named group; use ( ) or (?: )"},
                                             {"(?#", "a comment"},
                                             {"(?|", "a branch reset"},
                                             {"(?R", "recursion"},
                                             {"(?(", "a condition"},
                                             {"(*", "a verb"},
                                             {"(?", "an inline flag"}}};

class Parser {
 public:
  Parser(std::string_view pattern, const GrammarLimits& limits)
      : pattern_(pattern), limits_(limits) {}

  Expected<Regex> parse() {
    auto regex = alternatives(0);
    if (failed_) return unexpected(error_);
    if (at_ < pattern_.size()) return unexpected(Errc::malformed, place(at_) + "unmatched )");
    return regex;
  }

 private:
  static std::string place(std::size_t at) { return "pattern, byte " + std::to_string(at) + ": "; }

  Regex fail(Errc code, std::size_t at, const std::string& what) {
    if (!failed_) error_ = {code, place(at) + what};
    failed_ = true;
    at_ = pattern_.size();
    return {};
  }
  Regex refuse(std::size_t at, std::string_view name) {
    return fail(Errc::unsupported, at, std::string(name) + " is not supported");
  }

  bool has(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!has(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t next() {
    const CodePoint point = code_point_at(pattern_, at_);
    at_ += point.bytes;
    return point.value;
  }

  Regex alternatives(std::size_t depth) {
    Regex result{.kind = Regex::Kind::alternatives, .at = at_, .set = {}, .parts = {}};
    if (depth >= limits_.spec_depth_max)
      return fail(Errc::resource_exhausted, at_,
                  "groups nested deeper than " + std::to_string(limits_.spec_depth_max));
    do {
      result.parts.push_back(sequence(depth));
    } while (take("|"));
    if (result.parts.size() > 1) return result;
    Regex only = std::move(result.parts.front());
    return only;
  }

  Regex sequence(std::size_t depth) {
    Regex result{.kind = Regex::Kind::sequence, .at = at_, .set = {}, .parts = {}};
    while (at_ < pattern_.size() && !has("|") && !has(")")) {
      const std::size_t at = at_;
      Regex part = atom(depth);
      part.at = at;
      result.parts.push_back(quantified(std::move(part)));
    }
    return result;
  }

  Regex atom(std::size_t depth) {
    const std::size_t at = at_;
    if (take("(?:")) return group(depth, at);
    for (const Construct& construct : kGroups) {
      if (has(construct.begin)) return refuse(at, construct.name);
    }
    if (take("(")) return group(depth, at);
    if (take("[")) return characters(character_class(at));
    if (take(".")) return characters(kLineEnds.complement());
    if (take("^")) return {.kind = Regex::Kind::begin, .set = {}, .parts = {}};
    if (take("$")) return {.kind = Regex::Kind::end, .set = {}, .parts = {}};
    if (has("*") || has("+") || has("?"))
      return fail(Errc::malformed, at, "nothing to repeat; a literal sign needs \\ before it");
    if (has("{")) return fail(Errc::malformed, at, "{ repeats nothing; a literal { is written \\{");
    if (take("\\")) return characters(escape(at, false));
    const char32_t literal = next();
    return characters({{literal, literal}});
  }

  static Regex characters(CodePointSet set) {
    return {.kind = Regex::Kind::characters, .set = std::move(set), .parts = {}};
  }

  Regex group(std::size_t depth, std::size_t at) {
    Regex inner = alternatives(depth + 1);
    if (!failed_ && !take(")")) return fail(Errc::malformed, at, "( without )");
    return inner;
  }

  Regex quantified(Regex part) {
    const std::size_t at = at_;
    std::uint32_t min = 0, max = Regex::kUnbounded;
    if (take("?")) {
      max = 1;
    } else if (take("+")) {
      min = 1;
    } else if (take("{")) {
      if (!counts(at, min, max)) return {};
    } else if (!take("*")) {
      return part;
    }
    if (part.kind == Regex::Kind::begin || part.kind == Regex::Kind::end)
      return refuse(at, "a repeated anchor");
    if (has("+")) return refuse(at_, "a possessive quantifier");
    take("?");
    if (has("*") || has("?") || has("+") || has("{"))
      return fail(Errc::malformed, at_, "a quantifier after a quantifier");
    Regex repeat{
        .kind = Regex::Kind::repeat, .at = at, .set = {}, .min = min, .max = max, .parts = {}};
    repeat.parts.push_back(std::move(part));
    return repeat;
  }

  // After "{".
  bool counts(std::size_t at, std::uint32_t& min, std::uint32_t& max) {
    if (!count(min)) {
      fail(Errc::malformed, at, "{ without a count; a literal { is written \\{");
      return false;
    }
    max = min;
    if (take(",")) {
      max = Regex::kUnbounded;
      if (!has("}") && !count(max)) {
        fail(Errc::malformed, at, "a count is expected after the comma");
        return false;
      }
    }
    if (!take("}")) {
      fail(Errc::malformed, at, "{ without }");
    } else if (min > limits_.repeat_max || (max != Regex::kUnbounded && max > limits_.repeat_max)) {
      fail(Errc::resource_exhausted, at,
           "repeated more than " + std::to_string(limits_.repeat_max) + " times");
    } else if (min > max) {
      fail(Errc::malformed, at, "the lower count is above the upper one");
    }
    return !failed_;
  }

  bool count(std::uint32_t& value) {
    const char* begin = pattern_.data() + at_;
    const char* end = pattern_.data() + pattern_.size();
    const auto [last, error] = std::from_chars(begin, end, value);
    if (last == begin) return false;
    if (error != std::errc()) value = Regex::kUnbounded - 1;  // above every limit
    at_ += static_cast<std::size_t>(last - begin);
    return true;
  }

  CodePointSet refuse_set(std::size_t at, std::string_view name) {
    refuse(at, name);
    return {};
  }
  CodePointSet fail_set(std::size_t at, const std::string& what) {
    fail(Errc::malformed, at, what);
    return {};
  }

  // After "\".
  CodePointSet escape(std::size_t at, bool in_class) {
    if (at_ >= pattern_.size()) return fail_set(at, "a pattern cannot end with \\");
    const char32_t letter = next();
    switch (letter) {
      case 'd': return kDigits;
      case 'D': return kDigits.complement();
      case 'w': return kWord;
      case 'W': return kWord.complement();
      case 's': return kSpace;
      case 'S': return kSpace.complement();
      case 'n': return {{'\n', '\n'}};
      case 'r': return {{'\r', '\r'}};
      case 't': return {{'\t', '\t'}};
      case 'f': return {{'\f', '\f'}};
      case 'v': return {{'\v', '\v'}};
      case 'x': return hexadecimal(at, 2);
      case 'u': return take("{") ? braced(at) : hexadecimal(at, 4);
      case 'b':
        if (in_class) return {{'\b', '\b'}};
        return refuse_set(at, "a word boundary");
      case 'B': return refuse_set(at, "a word boundary");
      case 'p':
      case 'P': return refuse_set(at, "a Unicode property");
      case 'k': return refuse_set(at, "a back-reference");
      case '0':
        if (at_ >= pattern_.size() || pattern_[at_] < '0' || pattern_[at_] > '9') return {{0, 0}};
        return refuse_set(at, "an octal escape");
      default: break;
    }
    if (letter >= '1' && letter <= '9') return refuse_set(at, "a back-reference");
    if ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z'))
      return refuse_set(at, std::string("the escape \\") + static_cast<char>(letter));
    return {{letter, letter}};
  }

  CodePointSet hexadecimal(std::size_t at, std::size_t digits) {
    const auto value = hex_digits(digits, digits);
    if (!value) return fail_set(at, std::to_string(digits) + " hexadecimal digits are expected");
    if (*value >= 0xd800 && *value < 0xdc00 && take("\\u")) {  // a pair, as JSON writes it
      const auto low = hex_digits(4, 4);
      if (low && *low >= 0xdc00 && *low < 0xe000) {
        const char32_t point = 0x10000 + ((*value - 0xd800) << 10) + (*low - 0xdc00);
        return {{point, point}};
      }
    }
    if (*value >= 0xd800 && *value < 0xe000) return fail_set(at, "half of a surrogate pair");
    return {{*value, *value}};
  }

  CodePointSet braced(std::size_t at) {
    const auto value = hex_digits(1, 6);
    if (!value || !take("}") || *value > CodePointSet::kMax || (*value >> 11) == 0xd800 >> 11)
      return fail_set(at, "\\u{...} names no character");
    return {{*value, *value}};
  }

  std::optional<char32_t> hex_digits(std::size_t min, std::size_t max) {
    std::uint32_t value = 0;
    const char* begin = pattern_.data() + at_;
    const char* end = begin + std::min(max, pattern_.size() - at_);
    const auto [last, error] = std::from_chars(begin, end, value, 16);
    if (error != std::errc() || last < begin + min) return std::nullopt;
    at_ += static_cast<std::size_t>(last - begin);
    return value;
  }

  // After "[".
  CodePointSet character_class(std::size_t at) {
    const bool negated = take("^");
    const std::size_t first = at_;
    CodePointSet set;
    while (!failed_ && !take("]")) {
      if (at_ >= pattern_.size()) return fail_set(at, "[ without ]");
      if (has("[:") || has("[.") || has("[="))
        return refuse_set(at_, "a POSIX class; a literal [ is written \\[");
      if (has("&&") || has("--")) return refuse_set(at_, "arithmetic of classes");
      class_item(set);
    }
    // Some read the ] of []a] as a literal, some as the end: nobody may guess.
    if (!failed_ && at_ == first + 1) return fail_set(at, "an empty class; a ] in it is \\]");
    return negated ? set.complement() : set;
  }

  void class_item(CodePointSet& set) {
    const std::size_t at = at_;
    const CodePointSet low = class_character();
    const bool range = has("-") && !has("-]") && at_ + 1 < pattern_.size();
    if (failed_ || !range) {
      set.add(low);
      return;
    }
    take("-");
    const CodePointSet high = class_character();
    if (failed_) return;
    const auto one = [](const CodePointSet& item) {
      return item.ranges().size() == 1 && item.ranges()[0].low == item.ranges()[0].high;
    };
    if (!one(low) || !one(high)) {
      fail(Errc::malformed, at, "a range needs a single character at both ends");
    } else if (low.ranges()[0].low > high.ranges()[0].low) {
      fail(Errc::malformed, at, "a range whose ends are in the wrong order");
    } else {
      set.add(low.ranges()[0].low, high.ranges()[0].low);
    }
  }

  CodePointSet class_character() {
    const std::size_t at = at_;
    if (take("\\")) return escape(at, true);
    const char32_t literal = next();
    return {{literal, literal}};
  }

  std::string_view pattern_;
  const GrammarLimits& limits_;
  std::size_t at_ = 0;
  bool failed_ = false;
  Error error_;
};

/// Turns anchors into "nothing more here", or into any text where a search has none.
class AnchorResolver {
 public:
  explicit AnchorResolver(Anchoring anchoring) : anchoring_(anchoring) {}

  Expected<void> resolve(Regex& regex) {
    edge(regex, true, true);
    if (!misplaced_) return {};
    return unexpected(Errc::unsupported, "pattern, byte " + std::to_string(*misplaced_) +
                                             ": an anchor inside the pattern is not supported; ^ "
                                             "and $ may stand at its begin and end");
  }

 private:
  // `begins`, `ends`: this part is at the begin, the end of the whole.
  void edge(Regex& regex, bool begins, bool ends) {
    if (regex.kind == Regex::Kind::alternatives) {
      for (Regex& part : regex.parts) edge(part, begins, ends);
      return;
    }
    if (regex.kind != Regex::Kind::sequence) {
      Regex inner = std::move(regex);
      regex = {.kind = Regex::Kind::sequence, .at = inner.at, .set = {}, .parts = {}};
      regex.parts.push_back(std::move(inner));
    }
    auto& parts = regex.parts;
    bool open_begin = begins && anchoring_ == Anchoring::search;
    bool open_end = ends && anchoring_ == Anchoring::search;
    while (begins && !parts.empty() && parts.front().kind == Regex::Kind::begin) {
      parts.erase(parts.begin());
      open_begin = false;
    }
    while (ends && !parts.empty() && parts.back().kind == Regex::Kind::end) {
      parts.pop_back();
      open_end = false;
    }
    if (parts.size() == 1 && is_group(parts[0]) && (begins || ends)) {
      edge(parts[0], begins && (open_begin || anchoring_ == Anchoring::whole),
           ends && (open_end || anchoring_ == Anchoring::whole));
      if (anchoring_ == Anchoring::search) return;
    }
    for (const Regex& part : parts) find_misplaced(part);
    if (anchoring_ == Anchoring::whole) return;
    if (open_begin) parts.insert(parts.begin(), any_text());
    if (open_end) parts.push_back(any_text());
  }

  static bool is_group(const Regex& regex) {
    return regex.kind == Regex::Kind::alternatives || regex.kind == Regex::Kind::sequence;
  }

  static Regex any_text() {
    Regex any{.kind = Regex::Kind::characters, .set = CodePointSet::all(), .parts = {}};
    Regex repeat{.kind = Regex::Kind::repeat, .set = {}, .max = Regex::kUnbounded, .parts = {}};
    repeat.parts.push_back(std::move(any));
    return repeat;
  }

  void find_misplaced(const Regex& regex) {
    if (regex.kind == Regex::Kind::begin || regex.kind == Regex::Kind::end) misplaced_ = regex.at;
    for (const Regex& part : regex.parts) find_misplaced(part);
  }

  Anchoring anchoring_;
  std::optional<std::size_t> misplaced_;
};

}  // namespace

Expected<Regex> parse_regex(std::string_view pattern, Anchoring anchoring,
                            const GrammarLimits& limits) {
  if (const auto bad = first_invalid_utf8(pattern))
    return unexpected(Errc::malformed, "pattern, byte " + std::to_string(*bad) + ": not UTF-8");
  auto regex = Parser(pattern, limits).parse();
  if (!regex) return regex;
  if (auto done = AnchorResolver(anchoring).resolve(*regex); !done) return unexpected(done.error());
  return regex;
}

}  // namespace troupe::model::grammar
