// The two ways to answer Generate: as a stream, and whole.
#pragma once
#include <grpcpp/support/server_callback.h>

#include "services/gateway/answer_stream.hpp"
#include "services/gateway/gateway_state.hpp"

namespace troupe::services {

/// A stream of GenerateResponse. It owns itself until gRPC is done with it.
grpc::ServerWriteReactor<grpc::ByteBuffer>* answer_as_stream(GatewayState& state,
                                                             AnswerStream::Limits limits,
                                                             grpc::CallbackServerContext& context,
                                                             const grpc::ByteBuffer& request);

/// One GenerateUnaryResponse in `response`. It owns itself until gRPC is done with it.
grpc::ServerUnaryReactor* answer_whole(GatewayState& state, grpc::CallbackServerContext& context,
                                       const grpc::ByteBuffer& request, grpc::ByteBuffer& response);

}  // namespace troupe::services
