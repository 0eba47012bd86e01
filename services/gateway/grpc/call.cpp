// Ids, trailers, counts and bytes of calls.
#include "services/gateway/grpc/call.hpp"

#include <google/protobuf/message.h>

#include "services/gateway/grpc/listening_server.hpp"
#include "services/gateway/grpc/message_values.hpp"
#include "services/gateway/request_planner.hpp"

namespace troupe::services {
namespace {

/// A client's clock ends a call before ours does: grpc-timeout has three digits, rounded up, so it
/// tells a hundredth too much at most, and the request was under way for a while.
constexpr double kTimeoutRounding = 0.01;
constexpr std::chrono::milliseconds kUnderWay{20};

/// The last thing protobuf complained about on this thread.
thread_local std::string complaint;

void keep_complaint(google::protobuf::LogLevel, const char*, int, const std::string& text) {
  complaint = text;
}

/// "ChatMessage.content" of "String field 'troupe.inference.v1.ChatMessage.content' contains ...".
std::string field_in(const std::string& text) {
  const std::size_t open = text.find('\'');
  const std::size_t close = open == std::string::npos ? open : text.find('\'', open + 1);
  if (close == std::string::npos) return "";
  const std::string name = text.substr(open + 1, close - open - 1);
  const std::size_t last = name.rfind('.');
  const std::size_t before = last == std::string::npos ? last : name.rfind('.', last - 1);
  return before == std::string::npos ? name : name.substr(before + 1);
}

}  // namespace

Call::Call(GatewayState& state, grpc::CallbackServerContext& context, const char* api)
    : state_(state), context_(context) {
  record_.request_id = make_request_id();
  record_.api = api;
  state_.calls_open.enter(api);
}

Call::~Call() {
  if (state_.hooks.on_call_end) state_.hooks.on_call_end(record_);
  state_.calls_open.leave(record_.api);
}

std::optional<ApiError> Call::authorize(const Right* right) {
  if (!state_.access) return std::nullopt;
  const auto& metadata = context_.client_metadata();
  const auto found = metadata.find("authorization");
  const std::string given =
      found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
  auto entered = state_.access->enter(given, right);
  if (auto* refused = std::get_if<ApiError>(&entered)) return std::move(*refused);
  pass_ = std::get<Access::Pass>(std::move(entered));
  record_.key_name = pass_.key_name();
  return std::nullopt;
}

std::optional<ApiError> Call::admit() {
  GivenIdempotencyKey key{"idempotency-key", {}};
  const auto [begin, end] = context_.client_metadata().equal_range(key.header);
  for (auto one = begin; one != end; ++one)
    key.values.emplace_back(one->second.data(), one->second.size());
  auto entered = state_.enter(record_.key_name, key);
  if (auto* refused = std::get_if<ApiError>(&entered)) return std::move(*refused);
  entry_ = std::get<GatewayState::Entry>(std::move(entered));
  return std::nullopt;
}

void Call::set_request_id(const std::string& id) {
  if (!id.empty() && !check_request_id(id)) record_.request_id = id;
}

std::optional<std::chrono::nanoseconds> Call::remaining() const {
  const auto deadline = context_.deadline();
  // No deadline is a time so far that its difference from now would not fit.
  if (deadline > std::chrono::system_clock::now() + std::chrono::hours(24 * 365)) return {};
  return deadline - std::chrono::system_clock::now();
}

std::optional<ApiError> Call::cause_of(std::optional<ApiError> error) const {
  if (!error || error->code != ApiCode::cancelled) return error;
  const auto left = remaining();
  const std::chrono::duration<double> lived = std::chrono::steady_clock::now() - started_;
  if (!left || *left > lived * kTimeoutRounding + kUnderWay) return error;
  return from_engine({Errc::deadline_exceeded, "the request's deadline has passed"});
}

grpc::Status Call::close(std::optional<ApiError> error) {
  entry_.key.reset();  // who has the answer can use it again
  if (error) state_.admission.end(std::move(entry_.place), *error);
  context_.AddTrailingMetadata("x-request-id", record_.request_id);
  context_.AddTrailingMetadata("x-placement-epoch", std::to_string(state_.placement_epoch.load()));
  for (const std::string& path : ignored_)
    context_.AddTrailingMetadata("x-troupe-ignored-fields", path);
  const std::chrono::duration<double> lived = std::chrono::steady_clock::now() - started_;
  record_.duration_s = lived.count();
  grpc::Status status = error ? to_status(*error, record_.request_id) : grpc::Status();
  record_.code = code_name(status.error_code());
  if (error) {
    record_.reason = error->reason;
    record_.cause = error->cause;
  }
  return status;
}

void capture_protobuf_log() { google::protobuf::SetLogHandler(keep_complaint); }

std::optional<ApiError> parse_message(const grpc::ByteBuffer& bytes,
                                      google::protobuf::Message& message) {
  if (bytes.Length() > kMessageBytesMax) return message_too_large(bytes.Length(), kMessageBytesMax);
  if (count_values(bytes, *message.GetDescriptor()) > kMessageValuesMax)
    return invalid_fields(
        {{"message", "has more than " + std::to_string(kMessageValuesMax) + " values"}});
  grpc::ByteBuffer kept(bytes);  // shares the bytes; the reader below empties it
  complaint.clear();
  grpc::ProtoBufferReader reader(&kept);
  if (reader.status().ok() && message.ParseFromZeroCopyStream(&reader)) return std::nullopt;
  const std::string field = field_in(complaint);
  if (!field.empty()) return invalid_fields({{field, "is not UTF-8"}});
  return invalid_fields({{"message", "is not a " + message.GetTypeName()}});
}

grpc::ByteBuffer serialize_message(const google::protobuf::MessageLite& message) {
  grpc::Slice slice(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(const_cast<std::uint8_t*>(slice.begin()));
  return {&slice, 1};
}

}  // namespace troupe::services
