// troupe.inference.v1.InferenceService on an engine. No gRPC in here.
#pragma once
#include <functional>

#include "services/gateway/answer_stream.hpp"
#include "services/gateway/gateway_state.hpp"
#include "services/gateway/grpc/listening_server.hpp"

namespace troupe::services {

/// Runs a job on another thread, soon. False: it will not. What it has taken when the server stops
/// it still runs.
using RunElsewhere = std::function<bool(std::function<void()>)>;

struct InferenceSettings {
  AnswerStream::Limits stream;
  /// For requests with a form: gRPC's own threads, which all calls share, compile none.
  RunElsewhere run_elsewhere;
};

/// `state` must outlive it and every call.
NamedService make_inference_service(GatewayState& state, InferenceSettings settings);

}  // namespace troupe::services
