// Errors as OpenAI's clients know them: a status, and a body with type, code, param and message.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/gateway/api_error.hpp"
#include "services/gateway/http/message.hpp"

namespace troupe::services::http {

struct HttpError {
  int status = 500;
  std::string type = "server_error";
  std::string code = "internal";
  std::string message;
  std::string param = {};  // JSON path of the field; empty: none
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
  std::string allow = {};  // of a 405: the methods there are
  /// More members of the body, for programs: how long the prompt is, and the context.
  std::vector<std::pair<std::string, std::int64_t>> numbers = {};
  std::string cause = {};  // for the log alone
};

/// The one place where errors of the APIs become HTTP's.
HttpError to_http(const ApiError& error);

/// What HTTP itself refuses, before any endpoint sees the request. `detail` says what and the next
/// step; without one, a sentence that fits the status.
HttpError refusal(int status, std::string detail = "");
/// 404 of a path.
HttpError no_such_path(const std::string& path);
/// 400 / invalid_json.
HttpError invalid_json(const std::string& why);

/// {"error": {...}}, the request id among its members.
std::string error_body(const HttpError& error, const std::string& request_id);
/// With Retry-After in whole seconds, rounded up, where asking again helps.
Reply to_reply(const HttpError& error, const std::string& request_id);

}  // namespace troupe::services::http
