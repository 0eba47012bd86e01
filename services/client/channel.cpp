// Channels and statuses.
#include "services/client/channel.hpp"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

namespace troupe::services {
namespace {

constexpr int kMessageBytesMax = 64 << 20;

std::string without_scheme(const std::string& url) {
  const std::size_t at = url.find("://");
  std::string rest = at == std::string::npos ? url : url.substr(at + 3);
  while (rest.ends_with('/')) rest.pop_back();
  return rest;
}

}  // namespace

std::shared_ptr<grpc::Channel> open_channel(const std::string& url) {
  gpr_set_log_function([](gpr_log_func_args*) {});  // what matters of it is in the status
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(without_scheme(url), grpc::InsecureChannelCredentials(),
                                   arguments);
}

void await_connection(grpc::Channel& channel) {
  const auto until = std::chrono::system_clock::now() + kConnectBound;
  auto state = channel.GetState(true);
  while (state != GRPC_CHANNEL_READY && state != GRPC_CHANNEL_TRANSIENT_FAILURE) {
    if (!channel.WaitForStateChange(state, until)) return;
    state = channel.GetState(true);
  }
}

ClientFailure to_failure(const grpc::Status& status) {
  ClientFailure failure;
  failure.code = static_cast<ApiCode>(status.error_code());
  failure.message = status.error_message();
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED && failure.message.empty()) {
    failure.message = "what listens there is another gRPC service";
  }
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return failure;
  for (const auto& packed : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    if (packed.UnpackTo(&info)) {
      failure.reason = info.reason();
      failure.metadata.insert(info.metadata().begin(), info.metadata().end());
    } else if (packed.UnpackTo(&bad)) {
      for (const auto& field : bad.field_violations()) failure.fields.push_back(field.field());
    }
  }
  return failure;
}

}  // namespace troupe::services
