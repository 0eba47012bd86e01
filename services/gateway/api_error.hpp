// The one error model of all APIs: status, reason, and what helps a client to go on.
#pragma once
#include <chrono>
#include <cstdint>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "actors/request_engine.hpp"
#include "core/error.hpp"

namespace troupe::services {

/// Values of google.rpc.Code.
enum class ApiCode : int {
  cancelled = 1,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  unauthenticated = 16,
};

struct FieldViolation {
  std::string field;        // "sampling.temperature"
  std::string description;  // what it takes, and what it got
};

/// What a client hears instead of an answer.
struct ApiError {
  ApiCode code = ApiCode::internal;
  std::string message;                               // what, why and the next step, for people
  std::string reason;                                // stable, UPPER_SNAKE_CASE, for programs
  std::map<std::string, std::string> metadata = {};  // numbers and names that go with the reason
  std::vector<FieldViolation> fields = {};
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  std::string cause = {};  // for the log alone: what an INTERNAL hides from the client
};

/// An answer, or why there is none.
template <class T, class Failure = ApiError>
using Answered = std::variant<T, Failure>;

/// INVALID_ARGUMENT / INVALID_FIELD; the message lists all of `fields`, which is not empty.
ApiError invalid_fields(std::vector<FieldViolation> fields);
/// UNIMPLEMENTED / FIELD_NOT_SERVED naming `field`; `when`: which of its values ("above 1").
ApiError not_served(const std::string& field, const std::string& when = "");
/// INVALID_ARGUMENT / CONTEXT_LENGTH_EXCEEDED with the numbers. `names`: what the API calls the
/// prompt and the bound.
struct ContextNames {
  std::string prompt;
  std::string max_tokens = "sampling.max_tokens";
};
ApiError context_exceeded(std::int64_t prompt_tokens, std::int64_t max_tokens, std::int64_t context,
                          const ContextNames& names);
/// NOT_FOUND / MODEL_NOT_FOUND listing what is served.
ApiError model_not_found(const std::string& asked, const std::vector<std::string>& served);
/// UNAUTHENTICATED / INVALID_API_KEY.
ApiError unauthenticated(const std::string& why);
/// PERMISSION_DENIED / INSUFFICIENT_PERMISSIONS.
ApiError permission_denied(const std::string& key_name, std::string_view right);
/// The same of a priority above what the key may ask for; metadata has the bound.
ApiError priority_denied(const std::string& key_name, std::int32_t priority,
                         std::int32_t priority_max);
/// RESOURCE_EXHAUSTED / RATE_LIMIT_EXCEEDED; `limit` is a clause: "60 requests a minute".
ApiError rate_limited(const std::string& key_name, const std::string& limit,
                      std::chrono::milliseconds retry_after);
/// RESOURCE_EXHAUSTED / QUEUE_FULL.
ApiError queue_full(std::int64_t open, std::chrono::milliseconds retry_after);
/// RESOURCE_EXHAUSTED / REQUEST_TOO_LARGE with both numbers.
ApiError message_too_large(std::size_t bytes, std::size_t bytes_max);
/// ABORTED / OPERATION_IN_PROGRESS with a time to come back: of an idempotency key.
ApiError operation_in_progress();
/// UNAVAILABLE / DRAINING with a time to come back.
ApiError draining();
/// UNAVAILABLE with a time to come back: MODEL_LOADING before the cluster was complete for the
/// first time, then EXPERT_UNCOVERED or SERVICE_LOST; the message names what is missing.
ApiError not_ready(const actors::Readiness& now);

/// What an error of the engine is to a client. Bugs and broken files are INTERNAL without their
/// text, which is the `cause`.
ApiError from_engine(const Error& error);
/// What an exception is to a client: MEMORY_EXHAUSTED where there was no memory, else INTERNAL with
/// its text as the cause.
ApiError from_exception(const std::exception_ptr& thrown);

}  // namespace troupe::services
