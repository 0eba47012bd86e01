// Ids, counts and failures of calls over HTTP.
#include "services/gateway/http/http_call.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>

#include "services/gateway/request_planner.hpp"
#include "services/prompt/generation_defaults.hpp"

namespace troupe::services::http {
namespace {

/// "00-" 32 hexadecimal digits "-" 16 of them "-" 2. *Source*: W3C Trace Context, 3.2.
bool is_traceparent(const std::string& text) {
  constexpr std::string_view kForm = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
  return std::equal(text.begin(), text.end(), kForm.begin(), kForm.end(), [](char c, char form) {
    return form == '-' ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

std::string make_traceparent() {
  std::array<char, 64> text{};
  const auto word = [] { return static_cast<unsigned long long>(draw_seed()); };
  std::snprintf(text.data(), text.size(), "00-%016llx%016llx-%016llx-00", word(), word(), word());
  return text.data();
}

}  // namespace

HttpCall::HttpCall(GatewayState& state, const std::string& request_id,
                   const std::string& traceparent)
    : state_(state), traceparent_(is_traceparent(traceparent) ? traceparent : make_traceparent()) {
  const bool fit = !request_id.empty() && !check_request_id(request_id);
  record_.request_id = fit ? request_id : make_request_id();
  record_.trace_id = traceparent_.substr(3, 32);
}

HttpCall::~HttpCall() {
  if (!counted_) return;
  const std::chrono::duration<double> lived = std::chrono::steady_clock::now() - started_;
  record_.duration_s = lived.count();
  if (state_.hooks.on_call_end) state_.hooks.on_call_end(record_);
  state_.calls_open.leave(record_.api);
}

void HttpCall::count_as(const char* api) {
  if (counted_) state_.calls_open.leave(record_.api);
  record_.api = api;
  state_.calls_open.enter(api);
  counted_ = true;
}

std::optional<ApiError> HttpCall::authorize(const std::string& authorization, const Right* right) {
  if (!state_.access) return std::nullopt;
  auto entered = state_.access->enter(authorization, right);
  if (auto* refused = std::get_if<ApiError>(&entered)) return std::move(*refused);
  pass_ = std::get<Access::Pass>(std::move(entered));
  record_.key_name = pass_.key_name();
  return std::nullopt;
}

void HttpCall::note(const HttpError& error) {
  record_.code = std::to_string(error.status);
  record_.reason = error.code;
  record_.cause = error.cause;
}

Reply HttpCall::fail(const HttpError& error) {
  note(error);
  return to_reply(error, request_id());
}

void HttpCall::close(int status) {
  if (record_.code.empty()) record_.code = std::to_string(status);
}

}  // namespace troupe::services::http
