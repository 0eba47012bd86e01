// The conversation of a body: its messages, the tools it offers, what its template is given.
#pragma once
#include "services/gateway/generate_call.hpp"
#include "services/gateway/http/field_reader.hpp"

namespace troupe::services::http {

/// As /v1/chat/completions, /tokenize and /apply-template have it.
ChatCall read_conversation(FieldReader& fields, Findings& findings);
/// All of it but the messages.
void read_template_options(FieldReader& fields, Findings& findings, ChatCall& chat);

}  // namespace troupe::services::http
