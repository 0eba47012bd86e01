// The form of an answer as a body asks for it: OpenAI's field, and those of vLLM.
#pragma once
#include "services/gateway/generate_call.hpp"
#include "services/gateway/http/field_reader.hpp"

namespace troupe::services::http {

/// One of `response_format`, `guided_json`, `guided_regex` and `structured_outputs`; two of them
/// are wrong, other ways to constrain an answer are not served.
FormatCall read_format(FieldReader& fields, Findings& findings);

}  // namespace troupe::services::http
