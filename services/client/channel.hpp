// What calls of our gRPC clients share: a channel, and failures taken apart.
#pragma once
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "services/client/inference_client.hpp"

namespace troupe::services {

/// With TLS where the scheme says so. The key goes with each call: authorize().
std::shared_ptr<grpc::Channel> open_channel(const ServerAccess& access);
void authorize(grpc::ClientContext& context, const std::string& api_key);
/// Waits until `channel` is connected or has failed to, at most a few seconds: a call on it then
/// fails at once and says why.
void await_connection(grpc::Channel& channel);
/// `status` is not OK.
ClientFailure to_failure(const grpc::Status& status);

}  // namespace troupe::services
