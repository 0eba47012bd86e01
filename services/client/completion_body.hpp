// A call as the body of a request to an OpenAI-compatible HTTP API.
#pragma once
#include <string>

#include "services/gateway/generate_call.hpp"

namespace troupe::services {

/// "/v1/chat/completions" for a conversation, else "/v1/completions".
std::string completion_path(const GenerateCall& call);

/// The body, which asks for a stream with usage and token ids.
std::string completion_body(const GenerateCall& call);

}  // namespace troupe::services
