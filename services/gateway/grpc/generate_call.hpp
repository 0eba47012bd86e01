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

/// One GenerateUnaryResponse, as a stream of one: so it is known when the client has taken it. It
/// owns itself until gRPC is done with it.
grpc::ServerWriteReactor<grpc::ByteBuffer>* answer_whole(GatewayState& state,
                                                         grpc::CallbackServerContext& context,
                                                         const grpc::ByteBuffer& request);

}  // namespace troupe::services
