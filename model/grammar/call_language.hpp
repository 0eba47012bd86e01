// Answers that are tool calls and nothing else, as a language.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "core/expected.hpp"
#include "model/chat/answer/answer_format.hpp"
#include "model/grammar/grammar_spec.hpp"
#include "model/grammar/limits.hpp"
#include "model/grammar/nfa.hpp"
#include "model/grammar/token_table.hpp"

namespace troupe::model {

/// A function that an answer may call.
struct CallableFunction {
  std::string name;
  std::string parameters_json;  // the JSON schema of its arguments; empty: it takes none
};

/// An answer that calls one of `functions` and says nothing else; `several`: or calls more of them,
/// one after the other. AnswerParser reads such an answer as these calls and no content.
GrammarSpec tool_calls_spec(ToolCallFormat format, std::span<const CallableFunction> functions,
                            bool several);

namespace grammar {

/// Rule 0 becomes what tool_calls_spec() wrote into `json`. The arguments are an object, of the
/// language that write_schema() gives. *Errors*: as write_schema(), with the function's name in
/// front; `unsupported` for a vocabulary that spells the markers: arguments could spell one too.
Expected<void> write_tool_calls(Nfa& nfa, std::string_view json, const TokenTable& tokens,
                                const GrammarLimits& limits);

}  // namespace grammar
}  // namespace troupe::model
