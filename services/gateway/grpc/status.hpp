// Errors of the APIs as gRPC statuses with google.rpc details.
#pragma once
#include <grpcpp/support/status.h>

#include <string>

#include "services/gateway/api_error.hpp"

namespace troupe::services {

/// Code, message, and in `grpc-status-details-bin` a google.rpc.Status with ErrorInfo (the request
/// id is among its metadata), RetryInfo and BadRequest as far as `error` has them.
grpc::Status to_status(const ApiError& error, const std::string& request_id);

/// "OK", "NOT_FOUND", ...
std::string code_name(grpc::StatusCode code);

}  // namespace troupe::services
