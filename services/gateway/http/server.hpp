// The gateway's public HTTP port. No HTTP library in here.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "core/expected.hpp"
#include "services/gateway/gateway_state.hpp"
#include "services/gateway/http/api.hpp"
#include "services/runtime/config/service_config.hpp"

namespace troupe::services::http {

struct ServerSettings {
  Address listen{"127.0.0.1", 8080};  // port 0: any free one
  ApiSettings api;
  std::string cert_file, key_file;  // PEM; both empty: no TLS
  std::size_t body_bytes_max = std::size_t{16} << 20;
  std::size_t connections_max = 1024;
  std::size_t requests_max = 512;  // at once: each has a thread
  std::chrono::milliseconds read_time_max{30'000};
  std::chrono::milliseconds write_time_max{30'000};
  std::chrono::milliseconds idle_time_max{75'000};
};

/// *Threading*: any.
class Server {
 public:
  /// `state` must outlive it. *Errors*: `unavailable` when the port cannot be opened; those of
  /// TlsContext::load.
  static Expected<std::unique_ptr<Server>> start(GatewayState& state,
                                                 const ServerSettings& settings);
  Server(const Server&) = delete;
  /// Gives calls under way a moment to end, then hangs up.
  ~Server();

  std::uint16_t port() const;
  /// http://host:port or https://host:port with the port in use.
  std::string url() const;
  /// Idle connections are closed; every reply is its connection's last.
  void drain();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace troupe::services::http
