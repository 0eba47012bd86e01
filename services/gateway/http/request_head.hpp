// What the headers of a request say as they came, and why a request is refused for them.
#pragma once
#include <httplib.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/gateway/http/error_reply.hpp"

namespace troupe::services::http {

struct BodyFraming {
  bool present = false;                   // bytes follow the headers
  bool chunked = false;                   // they come in chunks
  std::size_t bytes = 0;                  // as announced; 0 when chunked
  std::optional<HttpError> refused = {};  // the connection cannot go on after it
};

/// Two lengths, a length beside chunks, names with spaces, lines that go on: where servers disagree
/// about the end of a request, strangers smuggle another one in. All of it is refused. `head` is
/// the request line and the headers as they came: the library decodes values ("%35" is a 5 to it)
/// and drops lines that it does not understand. *Source*: RFC 9112, 5 and 6; RFC 9110, 5.5.
BodyFraming check_framing(std::string_view head, std::size_t body_bytes_max);

/// The values of all headers of this name, as they came; empty ones too, which the library drops.
std::vector<std::string> values_of(std::string_view head, std::string_view name);

/// The path of a request that the library refuses for its method alone, as QUERY; it has read the
/// request line only then. Nothing: it is refused for something else.
std::optional<std::string> path_of_unknown_method(const httplib::Request& request);

}  // namespace troupe::services::http
