// Regular expressions in the strict sense: a subset of the usual syntax that automata can run.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/grammar/code_points.hpp"
#include "model/grammar/limits.hpp"
#include "model/grammar/nfa.hpp"

namespace troupe::model::grammar {

/// A parsed pattern. Semantics are ECMA-262's with the u flag, \d \w \s as ASCII; "." is any
/// character but line ends (\n \r U+2028 U+2029).
struct Regex {
  enum class Kind : std::uint8_t { empty, characters, sequence, alternatives, repeat, begin, end };
  static constexpr std::uint32_t kUnbounded = 0xffffffff;

  Kind kind = Kind::empty;
  std::size_t at = 0;  // byte of the pattern
  CodePointSet set;    // of characters
  std::uint32_t min = 0, max = 0;
  std::vector<Regex> parts;
};

/// Whether a text must match from begin to end, or somewhere (JSON schema's "pattern").
enum class Anchoring : std::uint8_t { whole, search };

/// Taken: literals, escapes (\d \D \w \W \s \S \n \r \t \f \v \0 \xHH \uHHHH \u{H}, signs), ".",
/// classes, groups ( ) and (?: ), |, ? * + {m} {m,} {m,n} (a lazy "?" after them changes nothing),
/// ^ and $ where the text begins and ends. *Errors*: `unsupported` with the construct's name,
/// `malformed`, both with the byte offset; `resource_exhausted` for nesting and counts.
Expected<Regex> parse_regex(std::string_view pattern, Anchoring anchoring,
                            const GrammarLimits& limits);

StateId write_regex(Nfa& nfa, StateId from, const Regex& regex, Spelling spelling);

}  // namespace troupe::model::grammar
