// Sets of Unicode characters, and the bytes that spell them in plain text and in JSON strings.
#pragma once
#include <cstdint>
#include <vector>

#include "model/grammar/nfa.hpp"

namespace troupe::model::grammar {

/// Code points without surrogates.
class CodePointSet {
 public:
  struct Range {
    char32_t low = 0, high = 0;
    friend bool operator==(const Range&, const Range&) = default;
  };
  static constexpr char32_t kMax = 0x10ffff;

  CodePointSet() = default;
  CodePointSet(std::initializer_list<Range> ranges);
  static CodePointSet all() { return {{0, kMax}}; }

  void add(char32_t low, char32_t high);
  void add(const CodePointSet& other);
  CodePointSet complement() const;
  CodePointSet intersection(const CodePointSet& other) const;
  CodePointSet minus(const CodePointSet& other) const { return intersection(other.complement()); }

  bool contains(char32_t code_point) const;
  bool empty() const { return ranges_.empty(); }
  /// Ascending, disjoint, not adjacent.
  const std::vector<Range>& ranges() const { return ranges_; }
  friend bool operator==(const CodePointSet&, const CodePointSet&) = default;

 private:
  void normalize();
  std::vector<Range> ranges_;
};

/// How characters are spelled. In a JSON string each has one spelling: itself where JSON allows
/// that, else the short escape (\" \\ \b \f \n \r \t), else \u00xx in lower case.
enum class Spelling : std::uint8_t { plain, json_string };

/// One character of the set.
StateId write_character(Nfa& nfa, StateId from, const CodePointSet& set, Spelling spelling);

}  // namespace troupe::model::grammar
