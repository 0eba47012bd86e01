// The one place where errors become gRPC's.
#include "services/gateway/grpc/status.hpp"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

namespace troupe::services {

grpc::Status to_status(const ApiError& error, const std::string& request_id) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(error.code));
  status.set_message(error.message);

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
    for (const FieldViolation& field : error.fields) {
      auto* violation = bad.add_field_violations();
      violation->set_field(field.field);
      violation->set_description(field.description);
    }
    status.add_details()->PackFrom(bad);
  }
  return {static_cast<grpc::StatusCode>(error.code), error.message, status.SerializeAsString()};
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
