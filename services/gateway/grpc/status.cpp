// The one place where errors become gRPC's.
#include "services/gateway/grpc/status.hpp"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

#include "model/tokenizer/utf8.hpp"

namespace troupe::services {
namespace {

/// Clients take 8 KiB of trailers, else they hear nothing of it. This text is in them twice, once
/// percent-encoded and once in base 64, and the fields' texts in base 64: 3 + 4/3 + 4/3 times 1 KiB
/// at most, and what the last field exceeds that by.
constexpr std::size_t kTextBytesMax = 1024;
constexpr std::size_t kPathBytesMax = 128;
constexpr std::size_t kDescriptionBytesMax = 512;

std::string shortened(const std::string& text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  return model::utf8_prefix(text, bytes_max - 3) + "...";
}

void add_fields(const std::vector<FieldViolation>& fields, google::rpc::BadRequest& bad) {
  std::size_t bytes = 0;
  for (const FieldViolation& field : fields) {
    if (bytes >= kTextBytesMax) return;
    auto* violation = bad.add_field_violations();
    violation->set_field(shortened(field.field, kPathBytesMax));
    violation->set_description(shortened(field.description, kDescriptionBytesMax));
    bytes += violation->field().size() + violation->description().size();
  }
}

}  // namespace

grpc::Status to_status(const ApiError& error, const std::string& request_id) {
  const std::string message = shortened(error.message, kTextBytesMax);
  google::rpc::Status status;
  status.set_code(static_cast<int>(error.code));
  status.set_message(message);

  google::rpc::ErrorInfo info;
  info.set_reason(error.reason);
  info.set_domain("troupe");
  for (const auto& [key, value] : error.metadata) (*info.mutable_metadata())[key] = value;
  (*info.mutable_metadata())["request_id"] = request_id;
  status.add_details()->PackFrom(info);

  if (error.retry_after) {
    google::rpc::RetryInfo retry;
    const auto ms = error.retry_after->count();
    retry.mutable_retry_delay()->set_seconds(ms / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<std::int32_t>(ms % 1000) * 1'000'000);
    status.add_details()->PackFrom(retry);
  }
  if (!error.fields.empty()) {
    google::rpc::BadRequest bad;
    add_fields(error.fields, bad);
    status.add_details()->PackFrom(bad);
  }
  return {static_cast<grpc::StatusCode>(error.code), message, status.SerializeAsString()};
}

std::string code_name(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  const auto index = static_cast<std::size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "UNKNOWN";
}

}  // namespace troupe::services
