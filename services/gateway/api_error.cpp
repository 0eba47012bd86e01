// Errors of the APIs and where the engine's belong among them.
#include "services/gateway/api_error.hpp"

#include <charconv>
#include <new>
#include <string_view>

#include "model/tokenizer/utf8.hpp"

namespace troupe::services {
namespace {

using std::chrono::milliseconds;

constexpr std::ptrdiff_t kFieldsMax = 16;    // wrong ones that are told: more would not help
constexpr milliseconds kRetrySoon{1000};     // a queue is full, a service comes back
constexpr milliseconds kRetryLoading{5000};  // weights are being read

ApiError make(ApiCode code, std::string reason, std::string message) {
  ApiError error;
  error.code = code;
  error.reason = std::move(reason);
  error.message = std::move(message);
  return error;
}

ApiError retryable(ApiCode code, std::string reason, std::string message, milliseconds wait) {
  ApiError error = make(code, std::move(reason), std::move(message));
  error.retry_after = wait;
  return error;
}

/// The number behind `word` in `text`.
std::optional<std::int64_t> number_behind(std::string_view text, std::string_view word) {
  const std::size_t at = text.find(word);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + word.size());
  std::int64_t value = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  return parsed.ec == std::errc{} ? std::optional(value) : std::nullopt;
}

/// Routers say "layer 3, experts 7, 9: no live expert shard holds them (expert 2 ...); ...".
ApiError uncovered(const Error& error) {
  ApiError out = retryable(ApiCode::unavailable, "EXPERT_UNCOVERED", error.detail, kRetrySoon);
  if (const auto layer = number_behind(error.detail, "layer ")) {
    out.metadata["layer"] = std::to_string(*layer);
  }
  if (const auto expert = number_behind(error.detail, "experts ")) {
    out.metadata["expert"] = std::to_string(*expert);
  }
  return out;
}

}  // namespace

ApiError invalid_fields(std::vector<FieldViolation> fields) {
  if (fields.size() > kFieldsMax) fields.erase(fields.begin() + kFieldsMax, fields.end());
  std::string message;
  for (const FieldViolation& field : fields) {
    message += (message.empty() ? "" : "; ") + field.field + " " + field.description;
  }
  ApiError error = make(ApiCode::invalid_argument, "INVALID_FIELD", std::move(message));
  error.fields = std::move(fields);
  return error;
}

ApiError not_served(const std::string& field, const std::string& when) {
  const std::string what = field + (when.empty() ? "" : " " + when);
  ApiError error =
      make(ApiCode::unimplemented, "FIELD_NOT_SERVED", what + " is not served yet. Leave it out");
  error.metadata["field"] = field;
  return error;
}

ApiError context_exceeded(std::int64_t prompt_tokens, std::int64_t max_tokens, std::int64_t context,
                          const ContextNames& names) {
  std::string message = "the prompt has " + std::to_string(prompt_tokens) +
                        " tokens and the model's context is " + std::to_string(context);
  if (prompt_tokens >= context) {
    message += ". Shorten it";
  } else {
    message += ", so " + names.max_tokens + " can be " + std::to_string(context - prompt_tokens) +
               " at most, not " + std::to_string(max_tokens);
  }
  ApiError error = make(ApiCode::invalid_argument, "CONTEXT_LENGTH_EXCEEDED", std::move(message));
  error.metadata = {{"prompt_tokens", std::to_string(prompt_tokens)},
                    {"max_tokens", std::to_string(max_tokens)},
                    {"context_length", std::to_string(context)}};
  if (!names.prompt.empty()) error.metadata["field"] = names.prompt;
  return error;
}

ApiError model_not_found(const std::string& asked, const std::vector<std::string>& served) {
  std::string listed;
  for (const std::string& name : served) listed += (listed.empty() ? "" : ", ") + name;
  ApiError error =
      make(ApiCode::not_found, "MODEL_NOT_FOUND",
           "no model \"" + model::utf8_prefix(asked, 80) + "\" is served here. Ask for " + listed);
  error.metadata["served"] = listed;
  return error;
}

ApiError unauthenticated(const std::string& why) {
  return make(ApiCode::unauthenticated, "INVALID_API_KEY",
              why + ". Send a key of this server: Authorization: Bearer KEY");
}

ApiError permission_denied(const std::string& key_name, std::string_view right) {
  ApiError error = make(ApiCode::permission_denied, "INSUFFICIENT_PERMISSIONS",
                        "the key \"" + key_name + "\" lacks the right \"" + std::string(right) +
                            "\". Use another key, or have this right added to it");
  error.metadata["right"] = right;
  return error;
}

ApiError priority_denied(const std::string& key_name, std::int32_t priority,
                         std::int32_t priority_max) {
  const std::string bound = std::to_string(priority_max);
  ApiError error =
      make(ApiCode::permission_denied, "INSUFFICIENT_PERMISSIONS",
           "the key \"" + key_name + "\" may ask for a priority of " + bound + " at most, not " +
               std::to_string(priority) + ". Lower it, or have the key's priority_max raised");
  error.metadata = {{"field", "priority"}, {"priority_max", bound}};
  return error;
}

ApiError rate_limited(const std::string& key_name, const std::string& limit,
                      milliseconds retry_after) {
  return retryable(ApiCode::resource_exhausted, "RATE_LIMIT_EXCEEDED",
                   "the key \"" + key_name + "\" is limited to " + limit + ". Ask again later",
                   retry_after);
}

ApiError queue_full(std::int64_t open, milliseconds retry_after) {
  ApiError error =
      retryable(ApiCode::resource_exhausted, "QUEUE_FULL",
                "this gateway already answers as many requests as it may" +
                    (open > 0 ? ", " + std::to_string(open) : std::string()) + ". Ask again later",
                retry_after);
  error.metadata["open"] = std::to_string(open);
  return error;
}

ApiError message_too_large(std::size_t bytes, std::size_t bytes_max) {
  ApiError error = make(ApiCode::resource_exhausted, "REQUEST_TOO_LARGE",
                        "the message has " + std::to_string(bytes) + " bytes and may have " +
                            std::to_string(bytes_max) + ". Send less at once");
  error.metadata = {{"bytes", std::to_string(bytes)}, {"bytes_max", std::to_string(bytes_max)}};
  return error;
}

ApiError operation_in_progress() {
  return retryable(ApiCode::aborted, "OPERATION_IN_PROGRESS",
                   "another request with this idempotency key is still under way. Wait for its "
                   "answer, or ask again once it has ended",
                   kRetrySoon);
}

ApiError draining() {
  return retryable(ApiCode::unavailable, "DRAINING",
                   "this gateway is going away and takes nothing new. Ask another, or again later",
                   kRetrySoon);
}

ApiError not_ready(const actors::Readiness& now) {
  using State = actors::Readiness::State;
  const auto say = [&](const char* reason, milliseconds wait) {
    return retryable(ApiCode::unavailable, reason,
                     "the model cannot be served now: " + now.detail + ". Ask again later", wait);
  };
  switch (now.state) {
    case State::draining: return draining();
    case State::expert_lost: return say("EXPERT_UNCOVERED", kRetrySoon);
    case State::service_lost: return say("SERVICE_LOST", kRetrySoon);
    case State::starting:
    case State::ready: break;
  }
  return say("MODEL_LOADING", kRetryLoading);
}

ApiError from_engine(const Error& error) {
  switch (error.code) {
    case Errc::invalid_argument:
    case Errc::out_of_range: return make(ApiCode::invalid_argument, "INVALID_VALUE", error.detail);
    case Errc::overloaded:
      return retryable(ApiCode::resource_exhausted, "QUEUE_FULL", error.detail, kRetrySoon);
    case Errc::resource_exhausted:
      return retryable(ApiCode::resource_exhausted, "MEMORY_EXHAUSTED", error.detail, kRetrySoon);
    case Errc::deadline_exceeded:
      return make(ApiCode::deadline_exceeded, "DEADLINE_EXCEEDED",
                  error.detail + ". Ask with a later deadline, or for less");
    case Errc::cancelled: return make(ApiCode::cancelled, "CANCELLED", "the request was withdrawn");
    case Errc::not_resident: return uncovered(error);
    case Errc::unavailable:
      return retryable(ApiCode::unavailable, "SERVICE_LOST", error.detail + ". Ask again later",
                       kRetrySoon);
    default: {
      ApiError bug = make(ApiCode::internal, "INTERNAL",
                          "something went wrong inside; the log has it under this request's id");
      bug.cause = error.detail;
      return bug;
    }
  }
}

ApiError from_exception(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    return from_engine({Errc::resource_exhausted, "no memory for the request"});
  } catch (const std::exception& error) {
    return from_engine({Errc::internal, error.what()});
  } catch (...) {
    return from_engine({Errc::internal, "an exception that is no std::exception"});
  }
}

}  // namespace troupe::services
