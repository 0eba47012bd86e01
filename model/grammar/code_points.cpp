// Ranges of code points become ranges of UTF-8 bytes; sequences with equal tails share them.
#include "model/grammar/code_points.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "model/tokenizer/utf8.hpp"

namespace troupe::model::grammar {
namespace {

struct ByteRange {
  std::uint8_t low = 0, high = 0;
  auto operator<=>(const ByteRange&) const = default;
};

/// Writes ranges of code points as bytes that end in `to`.
class Utf8Writer {
 public:
  Utf8Writer(Nfa& nfa, StateId from, StateId to) : nfa_(nfa), from_(from), to_(to) {}

  /// Splits until both ends have the same length and all bytes after the first that differs are
  /// whole ranges of continuation bytes. *Source*: Ken Thompson's ranges, as grep and RE2 do it.
  void write(char32_t low, char32_t high) {
    for (const char32_t last : {0x7f, 0x7ff, 0xd7ff, 0xffff}) {
      if (low <= last && high > last) {
        write(low, last);
        write(last == 0xd7ff ? std::max<char32_t>(low, 0xe000) : last + 1, high);
        return;
      }
    }
    if (low > high) return;
    for (char32_t tail = 0x3f; low > 0x7f && tail <= 0x3ffff; tail = tail << 6 | 0x3f) {
      if ((low & ~tail) == (high & ~tail)) continue;
      if ((low & tail) != 0) {
        write(low, low | tail);
        write((low | tail) + 1, high);
        return;
      }
      if ((high & tail) != tail) {
        write(low, (high & ~tail) - 1);
        write(high & ~tail, high);
        return;
      }
    }
    write_sequence(utf8_of(low), utf8_of(high));
  }

 private:
  void write_sequence(const std::string& low, const std::string& high) {
    std::vector<ByteRange> ranges;
    for (std::size_t i = 0; i < low.size(); ++i) {
      ranges.push_back({static_cast<std::uint8_t>(low[i]), static_cast<std::uint8_t>(high[i])});
    }
    const ByteRange first = ranges.front();
    ranges.erase(ranges.begin());
    nfa_.bytes(from_, first.low, first.high, begin_of(ranges));
  }

  StateId begin_of(const std::vector<ByteRange>& tail) {
    if (tail.empty()) return to_;
    const auto known = tails_.find(tail);
    if (known != tails_.end()) return known->second;
    const StateId begin = nfa_.add_state();
    nfa_.bytes(begin, tail.front().low, tail.front().high,
               begin_of({tail.begin() + 1, tail.end()}));
    tails_.emplace(tail, begin);
    return begin;
  }

  Nfa& nfa_;
  StateId from_, to_;
  std::map<std::vector<ByteRange>, StateId> tails_;
};

void write_plain(Nfa& nfa, StateId from, const CodePointSet& set, StateId to) {
  Utf8Writer writer(nfa, from, to);
  for (const auto& range : set.ranges()) writer.write(range.low, range.high);
}

struct Escape {
  char32_t code_point;
  char letter;
};
constexpr std::array<Escape, 7> kEscapes{
    {{'"', '"'}, {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'}, {'\n', 'n'}, {'\r', 'r'}, {'\t', 't'}}};

void write_json(Nfa& nfa, StateId from, const CodePointSet& set, StateId to) {
  const CodePointSet escaped{{0, 0x1f}, {'"', '"'}, {'\\', '\\'}};
  write_plain(nfa, from, set.minus(escaped), to);
  CodePointSet rest = set.intersection(escaped);
  if (rest.empty()) return;
  const StateId backslash = nfa.literal(from, "\\");
  for (const Escape& escape : kEscapes) {
    if (!rest.contains(escape.code_point)) continue;
    const auto letter = static_cast<std::uint8_t>(escape.letter);
    nfa.bytes(backslash, letter, letter, to);
    rest = rest.minus({{escape.code_point, escape.code_point}});
  }
  if (rest.empty()) return;
  const StateId zeros = nfa.literal(backslash, "u00");
  for (const auto& range : rest.ranges()) {
    for (char32_t control = range.low; control <= range.high; ++control) {
      const char digits[] = {static_cast<char>('0' + (control >> 4)),
                             "0123456789abcdef"[control & 0xf]};
      nfa.epsilon(nfa.literal(zeros, {digits, 2}), to);
    }
  }
}

}  // namespace

CodePointSet::CodePointSet(std::initializer_list<Range> ranges) : ranges_(ranges) { normalize(); }

void CodePointSet::add(char32_t low, char32_t high) {
  ranges_.push_back({low, high});
  normalize();
}

void CodePointSet::add(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  normalize();
}

void CodePointSet::normalize() {
  std::vector<Range> sorted;
  for (const Range& range : ranges_) {  // surrogates are no characters
    if (range.low < 0xd800) sorted.push_back({range.low, std::min<char32_t>(range.high, 0xd7ff)});
    if (range.high > 0xdfff) sorted.push_back({std::max<char32_t>(range.low, 0xe000), range.high});
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const Range& a, const Range& b) { return a.low < b.low; });
  ranges_.clear();
  for (const Range& range : sorted) {
    if (range.low > range.high) continue;
    if (!ranges_.empty() && range.low <= ranges_.back().high + 1) {
      ranges_.back().high = std::max(ranges_.back().high, range.high);
    } else {
      ranges_.push_back(range);
    }
  }
}

CodePointSet CodePointSet::complement() const {
  CodePointSet result;
  char32_t low = 0;
  for (const Range& range : ranges_) {
    if (range.low > low) result.ranges_.push_back({low, range.low - 1});
    low = range.high + 1;
  }
  if (low <= kMax) result.ranges_.push_back({low, kMax});
  result.normalize();
  return result;
}

CodePointSet CodePointSet::intersection(const CodePointSet& other) const {
  CodePointSet result;
  std::size_t i = 0, j = 0;
  while (i < ranges_.size() && j < other.ranges_.size()) {
    const char32_t low = std::max(ranges_[i].low, other.ranges_[j].low);
    const char32_t high = std::min(ranges_[i].high, other.ranges_[j].high);
    if (low <= high) result.ranges_.push_back({low, high});
    if (ranges_[i].high < other.ranges_[j].high) {
      ++i;
    } else {
      ++j;
    }
  }
  return result;
}

bool CodePointSet::contains(char32_t code_point) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [code_point](const Range& range) {
    return range.low <= code_point && code_point <= range.high;
  });
}

StateId write_character(Nfa& nfa, StateId from, const CodePointSet& set, Spelling spelling) {
  const StateId to = nfa.add_state();
  if (spelling == Spelling::plain) {
    write_plain(nfa, from, set, to);
  } else {
    write_json(nfa, from, set, to);
  }
  return to;
}

}  // namespace troupe::model::grammar
