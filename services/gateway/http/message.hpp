// A request and its reply as the endpoints see them: no sockets, no HTTP library.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::services::http {

inline constexpr const char* kIdempotencyKey = "Idempotency-Key";

struct Request {
  std::string method;
  std::string path;           // decoded, without the query
  bool verbose = false;       // the query has "verbose"
  std::string authorization;  // header of that name; empty: none
  std::string request_id;     // X-Request-Id
  std::string traceparent;
  std::string if_none_match;
  std::vector<std::string> idempotency_keys;  // one for each header
  std::string body;
  std::shared_ptr<void> body_share = {};  // of the memory for bodies; goes with it
  int socket = -1;                        // to see that the client goes; -1: it never does
};

/// Where a streamed body goes.
class BodySink {
 public:
  virtual ~BodySink() = default;
  /// False: the client is gone, or has taken nothing for too long.
  virtual bool write(std::string_view bytes) = 0;
};

struct Reply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  /// If set, called once instead of sending `body`. True: the body is whole.
  std::function<bool(BodySink&)> stream = {};
  /// If set, called once, when all of `body` but its last byte has been handed over: before anybody
  /// can have the whole. Not called where the client has gone.
  std::function<void()> before_last = {};
};

}  // namespace troupe::services::http
