// The two ways to answer Generate: as a stream, and whole.
#pragma once
#include <grpcpp/support/server_callback.h>

#include "services/gateway/gateway_state.hpp"
#include "services/gateway/grpc/inference_service.hpp"

namespace troupe::services {

/// A stream of GenerateResponse. `settings` must outlive it. It owns itself until gRPC is done with
/// it.
grpc::ServerWriteReactor<grpc::ByteBuffer>* answer_as_stream(GatewayState& state,
                                                             const InferenceSettings& settings,
                                                             grpc::CallbackServerContext& context,
                                                             const grpc::ByteBuffer& request);

/// One GenerateUnaryResponse, as a stream of one: so it is known when the client has taken it.
/// `settings` must outlive it. It owns itself until gRPC is done with it.
grpc::ServerWriteReactor<grpc::ByteBuffer>* answer_whole(GatewayState& state,
                                                         const InferenceSettings& settings,
                                                         grpc::CallbackServerContext& context,
                                                         const grpc::ByteBuffer& request);

}  // namespace troupe::services
