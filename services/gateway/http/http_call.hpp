// What every call over HTTP has: ids, a place in the counts, one way to fail.
#pragma once
#include <chrono>
#include <string>

#include "services/gateway/gateway_state.hpp"
#include "services/gateway/http/error_reply.hpp"
#include "services/gateway/http/message.hpp"

namespace troupe::services::http {

/// Lives until its reply is sent. *Threading*: one at a time.
class HttpCall {
 public:
  /// Ids are taken from the client where they are fit to be echoed and logged, else made.
  HttpCall(GatewayState& state, const std::string& request_id, const std::string& traceparent);
  HttpCall(const HttpCall&) = delete;
  /// Tells the hooks, if it was counted.
  ~HttpCall();

  /// From now on it is counted and logged under this name: "chat", ...
  void count_as(const char* api);
  const std::string& request_id() const { return record_.request_id; }
  const std::string& traceparent() const { return traceparent_; }
  CallRecord& record() { return record_; }

  /// Nothing when the client's key allows it, or none is needed; else why not. `right` null: any
  /// key will do. Counts as its key's until it ends.
  std::optional<ApiError> authorize(const std::string& authorization, const Right* right);

  /// Nothing when that key may ask for `priority`.
  std::optional<ApiError> refuse_priority(std::int32_t priority) const {
    return pass_.refuse_priority(priority);
  }

  Reply fail(const HttpError& error);
  Reply fail(const ApiError& error) { return fail(to_http(error)); }
  /// An error after the status was sent: what the counts hear of it.
  void note(const HttpError& error);
  /// The status that was sent.
  void close(int status);

 private:
  GatewayState& state_;
  CallRecord record_;
  std::string traceparent_;
  Access::Pass pass_;
  bool counted_ = false;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace troupe::services::http
