// Where something listens.
#pragma once
#include <cstdint>
#include <string>

namespace troupe::actors {

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
};
/// "host:port", with brackets around a numeric IPv6 host.
inline std::string to_string(const Endpoint& endpoint) {
  const bool bare = endpoint.host.find(':') == std::string::npos;
  return (bare ? endpoint.host : "[" + endpoint.host + "]") + ":" + std::to_string(endpoint.port);
}

}  // namespace troupe::actors
