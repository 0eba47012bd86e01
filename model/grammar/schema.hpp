// JSON schemas as languages: every text of the language is JSON that the schema accepts.
#pragma once
#include <string_view>

#include "core/expected.hpp"
#include "model/grammar/limits.hpp"
#include "model/grammar/nfa.hpp"

namespace troupe::model::grammar {

/// Rule 0 becomes any JSON object.
Expected<void> write_json_object(Nfa& nfa);

/// Rule 0 becomes the schema. The language is narrower than the schema where that keeps it finite
/// to describe: members in the order of "properties", none beyond them unless
/// "additionalProperties" says so. docs/structured-output.md lists all of it. *Errors*: `malformed`
/// (JSON, a keyword's value), `unsupported` (a keyword), `invalid_argument` (contradictions), each
/// with the path from the schema's root "$"; `resource_exhausted`.
Expected<void> write_schema(Nfa& nfa, std::string_view json, const GrammarLimits& limits);

}  // namespace troupe::model::grammar
