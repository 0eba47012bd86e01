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

std::shared_ptr<grpc::ChannelCredentials> credentials_of(const ServerAccess& access) {
  if (!access.speaks_tls()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = read_authorities(access).value_or("");
  return grpc::SslCredentials(options);
}

/// gRPC says that TLS failed and not why, but for a certificate of another name.
bool is_untrusted(const std::string& message) {
  for (const char* words : {"andshake failed", "certificate"}) {
    if (message.find(words) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

std::shared_ptr<grpc::Channel> open_channel(const ServerAccess& access) {
  gpr_set_log_function([](gpr_log_func_args*) {});  // what matters of it is in the status
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(access.address(), credentials_of(access), arguments);
}

void authorize(grpc::ClientContext& context, const std::string& api_key) {
  if (!api_key.empty()) context.AddMetadata("authorization", "Bearer " + api_key);
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
  failure.untrusted = failure.code == ApiCode::unavailable && is_untrusted(status.error_message());
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
