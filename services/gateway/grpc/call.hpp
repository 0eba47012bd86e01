// What every call on a gateway has: an id, trailing metadata, a place in the counts.
#pragma once
#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/gateway/gateway_state.hpp"
#include "services/gateway/grpc/status.hpp"

namespace troupe::services {

/// Lives as long as its call. *Threading*: one at a time.
class Call {
 public:
  Call(GatewayState& state, grpc::CallbackServerContext& context, const char* api);
  Call(const Call&) = delete;
  ~Call();

  /// What the client names it, if it is fit for that.
  void set_request_id(const std::string& id);
  const std::string& request_id() const { return record_.request_id; }
  /// Paths of fields without effect: trailing metadata names them.
  void set_ignored(std::vector<std::string> paths) { ignored_ = std::move(paths); }
  /// Time until the client's deadline; nothing without one.
  std::optional<std::chrono::nanoseconds> remaining() const;
  /// What ended the call, where `error` ended its answers: a client whose deadline passes hangs up,
  /// and is not told from one that goes away but by the time.
  std::optional<ApiError> cause_of(std::optional<ApiError> error) const;
  CallRecord& record() { return record_; }
  /// Nothing when the client's key allows it, or none is needed; else why not. `right` null: any
  /// key will do.
  std::optional<ApiError> authorize(const Right* right);
  /// Nothing when that key may ask for `priority`.
  std::optional<ApiError> refuse_priority(std::int32_t priority) const {
    return pass_.refuse_priority(priority);
  }
  /// Nothing when one more request that generates can be taken, with its idempotency key.
  std::optional<ApiError> admit();

  /// The status to finish with. Sets the trailing metadata; call once, just before.
  grpc::Status close(std::optional<ApiError> error);

 private:
  GatewayState& state_;
  grpc::CallbackServerContext& context_;
  CallRecord record_;
  std::vector<std::string> ignored_;
  Access::Pass pass_;
  GatewayState::Entry entry_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

/// What `work` throws, as an error. For what may throw on a thread of gRPC, which would tell the
/// client UNIMPLEMENTED or nothing, or of the engine, which has nobody to tell.
template <class Work>
std::optional<ApiError> exception_of(const Work& work) {
  try {
    work();
  } catch (...) {
    return from_exception(std::current_exception());
  }
  return std::nullopt;
}

/// From now on protobuf's complaints about messages go to `parse_message` instead of stderr.
void capture_protobuf_log();
/// Parses `bytes` into `message`. Nothing, or REQUEST_TOO_LARGE, or INVALID_ARGUMENT: it names the
/// field whose text is not UTF-8, or the number of values there may be.
std::optional<ApiError> parse_message(const grpc::ByteBuffer& bytes,
                                      google::protobuf::Message& message);
grpc::ByteBuffer serialize_message(const google::protobuf::MessageLite& message);

}  // namespace troupe::services
