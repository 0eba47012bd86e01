// The parts JSON is made of, as languages: white space, strings, numbers, any value.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/config/json_value.hpp"
#include "model/grammar/code_points.hpp"
#include "model/grammar/nfa.hpp"

namespace troupe::model::grammar {

/// Most blanks after a line end, so that a model cannot indent for ever.
inline constexpr std::uint32_t kIndentMax = 20;

/// After "{", "[" and ",", and before "}" and "]": nothing, one blank, or a line end and up to
/// kIndentMax blanks or tabs.
StateId write_space(Nfa& nfa, StateId from);
/// After ":": nothing or one blank.
StateId write_colon(Nfa& nfa, StateId from);

/// Any JSON string, escapes in every spelling but lone surrogates.
StateId write_any_string(Nfa& nfa, StateId from);

/// Characters of strings whose contents a schema bounds: each in its one spelling
/// (Spelling::json_string); control characters without a short escape are left out.
const CodePointSet& json_characters();

/// min..max characters (code points) of json_characters(). `character` is the rule for one of
/// them, which the first long string makes.
struct Length {
  std::uint32_t min = 0;
  std::optional<std::uint32_t> max;
};
StateId write_counted_string(Nfa& nfa, StateId from, Length length,
                             std::optional<RuleId>& character);

/// Exactly this text, quoted, each character in its one spelling.
StateId write_exact_string(Nfa& nfa, StateId from, std::string_view text);

/// Exactly this value; white space as everywhere.
StateId write_exact_value(Nfa& nfa, StateId from, const JsonValue& value);

/// Any number: at most 16 digits before and after the point and 2 in the exponent, so that every
/// reader can take it.
StateId write_any_number(Nfa& nfa, StateId from);

/// Objects and arrays of any values, and any value, as rules that call each other.
struct AnyRules {
  RuleId value = 0;
  RuleId object = 0;
  RuleId array = 0;
};
AnyRules add_any_rules(Nfa& nfa);

}  // namespace troupe::model::grammar
