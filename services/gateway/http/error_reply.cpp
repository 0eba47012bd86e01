// The table of docs/http_api.md as code.
#include "services/gateway/http/error_reply.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "services/gateway/http/json_tree.hpp"
#include "services/gateway/http/percent_encoding.hpp"

namespace troupe::services::http {
namespace {

struct Face {
  std::string_view reason;
  int status;
  const char* type;
  const char* code;
};

constexpr const char* kInvalid = "invalid_request_error";
constexpr const char* kRate = "rate_limit_error";
constexpr const char* kUnavailable = "service_unavailable";

constexpr std::array kFaces{
    Face{"INVALID_FIELD", 400, kInvalid, "invalid_value"},
    Face{"INVALID_VALUE", 400, kInvalid, "invalid_value"},
    Face{"FIELD_NOT_SERVED", 400, kInvalid, "unsupported_parameter"},
    Face{"CONTEXT_LENGTH_EXCEEDED", 400, kInvalid, "context_length_exceeded"},
    Face{"TOKENIZER_MISSING", 400, kInvalid, "tokenizer_missing"},
    Face{"CHAT_TEMPLATE_MISSING", 400, kInvalid, "chat_template_missing"},
    Face{"INVALID_API_KEY", 401, "authentication_error", "invalid_api_key"},
    Face{"INSUFFICIENT_PERMISSIONS", 403, "permission_error", "insufficient_permissions"},
    Face{"MODEL_NOT_FOUND", 404, kInvalid, "model_not_found"},
    Face{"SLOW_READER", 408, "timeout", "slow_reader"},
    Face{"OPERATION_IN_PROGRESS", 409, "conflict", "operation_in_progress"},
    Face{"QUEUE_FULL", 429, kRate, "queue_full"},
    Face{"MEMORY_EXHAUSTED", 429, kRate, "memory_exhausted"},
    Face{"RATE_LIMIT_EXCEEDED", 429, kRate, "rate_limit_exceeded"},
    Face{"CANCELLED", 499, "cancelled", "cancelled"},
    Face{"INTERNAL", 500, "server_error", "internal"},
    Face{"MODEL_LOADING", 503, kUnavailable, "model_loading"},
    Face{"DRAINING", 503, kUnavailable, "draining"},
    Face{"EXPERT_UNCOVERED", 503, kUnavailable, "expert_uncovered"},
    Face{"SERVICE_LOST", 503, kUnavailable, "service_lost"},
    Face{"DEADLINE_EXCEEDED", 504, "timeout", "deadline_exceeded"},
};

std::string param_of(const ApiError& error) {
  if (!error.fields.empty()) return error.fields.front().field;
  if (error.reason == "MODEL_NOT_FOUND") return "model";
  const auto named = error.metadata.find("field");
  return named == error.metadata.end() ? "" : named->second;
}

struct Refusal {
  int status;
  const char* code;
  const char* message;
};

constexpr std::array kRefusals{
    Refusal{400, "malformed_request",
            "this is no HTTP request that this server understands. Send "
            "HTTP/1.1 with one Content-Length or chunked body"},
    Refusal{408, "request_timeout", "the request did not come whole in time. Send it faster"},
    Refusal{413, "request_too_large", "the body is too large. Send less at once"},
    Refusal{414, "uri_too_long", "the path is too long. Send parameters in the body"},
    Refusal{415, "unsupported_media_type",
            "the body's encoding is not served. Send plain JSON as application/json"},
    Refusal{416, "malformed_request", "the Range header is not understood. Leave it out"},
    Refusal{417, "malformed_request", "the Expect header is not understood. Leave it out"},
    Refusal{431, "headers_too_large", "the headers are too large. Send fewer or shorter ones"},
};

}  // namespace

HttpError to_http(const ApiError& error) {
  const auto face = std::find_if(kFaces.begin(), kFaces.end(),
                                 [&](const Face& one) { return one.reason == error.reason; });
  HttpError out;
  if (face != kFaces.end()) {
    out.status = face->status;
    out.type = face->type;
    out.code = face->code;
  }
  out.message = error.message;
  out.param = param_of(error);
  out.retry_after = error.retry_after;
  out.cause = error.cause;
  for (const char* key : {"prompt_tokens", "context_length"}) {
    const auto found = error.metadata.find(key);
    std::int64_t number = 0;
    if (found == error.metadata.end()) continue;
    const std::string& text = found->second;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc{})
      out.numbers.emplace_back(key, number);
  }
  return out;
}

HttpError refusal(int status, std::string detail) {
  const auto known = std::find_if(kRefusals.begin(), kRefusals.end(),
                                  [&](const Refusal& one) { return one.status == status; });
  HttpError out;
  out.status = status;
  if (known == kRefusals.end()) {
    out.message = detail.empty() ? "something went wrong inside; the log has it under this "
                                   "request's id"
                                 : std::move(detail);
    return out;
  }
  out.type = status == 408 ? "timeout" : kInvalid;
  out.code = known->code;
  out.message = detail.empty() ? known->message : std::move(detail);
  return out;
}

HttpError no_such_path(const std::string& path) {
  return {404, kInvalid, "not_found",
          "nothing is served at " + percent_encoded(path.substr(0, 200)) +
              ". GET /openapi.json lists what is, as POST /v1/chat/completions"};
}

HttpError invalid_json(const std::string& why) {
  return {400, kInvalid, "invalid_json", "the body is not the JSON object it should be: " + why};
}

std::string error_body(const HttpError& error, const std::string& request_id) {
  JsonObject inner;
  inner.add("message", error.message)
      .add("type", error.type)
      .add("param", error.param.empty() ? json_null() : json(error.param))
      .add("code", error.code)
      .add("request_id", request_id);
  for (const auto& [name, value] : error.numbers) inner.add(name, value);
  return JsonObject().add("error", inner.value()).text();
}

Reply to_reply(const HttpError& error, const std::string& request_id) {
  Reply reply;
  reply.status = error.status;
  reply.body = error_body(error, request_id);
  if (error.retry_after) {
    const auto seconds = (error.retry_after->count() + 999) / 1000;
    reply.headers.emplace_back("Retry-After", std::to_string(std::max<std::int64_t>(1, seconds)));
  }
  if (!error.allow.empty()) reply.headers.emplace_back("Allow", error.allow);
  if (error.status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  return reply;
}

}  // namespace troupe::services::http
