// The little HTTP that probes and Prometheus speak: a request line in, an answer's bytes out.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace troupe::services {

/// What a request asks for. Its headers say nothing that the ops port has to know.
struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // "/livez", as it was written
  std::string query;   // behind the "?"

  /// Whether the query has `name`, with or without a value.
  bool has_parameter(std::string_view name) const;
};

/// Whether `bytes` is all that is needed: a request line and the empty line behind the headers, or
/// a first line that is no request line whatever follows. *Source*: RFC 9112, 2 and 3.
bool is_complete(std::string_view bytes);

/// Nothing for what is no HTTP/1.0 or HTTP/1.1 request.
std::optional<HttpRequest> parse_request(std::string_view bytes);

struct HttpAnswer {
  int status = 200;
  std::string body;
  std::string type = "text/plain; charset=utf-8";
};

/// The answer as it is sent. The connection is closed behind it; HEAD gets no body.
std::string to_bytes(const HttpAnswer& answer, bool with_body);

}  // namespace troupe::services
