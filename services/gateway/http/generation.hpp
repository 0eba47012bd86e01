// Completions: from a request that was read to its reply, whole or as a stream of events.
#pragma once
#include <chrono>

#include "services/gateway/answer_stream.hpp"
#include "services/gateway/http/completion_request.hpp"
#include "services/gateway/http/http_call.hpp"

namespace troupe::services::http {

struct GenerationSettings {
  AnswerStream::Limits stream;
  std::chrono::seconds request_time_max{3600};  // the deadline of every request
};

/// Starts the answers and waits: for all of them, or for the first event of a stream, so that what
/// fails before it has a status of its own. `from`: for its socket and its idempotency key. What
/// turns out to be without effect is added to `request.ignored`.
Reply complete(GatewayState& state, const GenerationSettings& settings, HttpCall& call,
               CompletionRequest& request, const Request& from);

}  // namespace troupe::services::http
