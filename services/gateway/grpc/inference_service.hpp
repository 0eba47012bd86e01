// troupe.inference.v1.InferenceService on an engine. No gRPC in here.
#pragma once
#include "services/gateway/answer_stream.hpp"
#include "services/gateway/gateway_state.hpp"
#include "services/gateway/grpc/listening_server.hpp"

namespace troupe::services {

/// `state` must outlive it and every call.
NamedService make_inference_service(GatewayState& state, AnswerStream::Limits limits);

}  // namespace troupe::services
