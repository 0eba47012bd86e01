// A gRPC server on one port, with health and reflection. No gRPC in here.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "services/runtime/config/service_config.hpp"
#include "services/runtime/ports/stranger_log.hpp"

namespace grpc {
class Service;
}

namespace troupe::services {

/// Of one request. Longer ones are refused with an explanation; far longer ones, by gRPC without.
inline constexpr std::size_t kMessageBytesMax = std::size_t{64} << 20;
/// Of one request, as the HTTP API takes JSON values.
inline constexpr std::size_t kMessageValuesMax = std::size_t{1} << 20;

struct GrpcSettings {
  Address listen{"127.0.0.1", 50051};  // port 0: any free one
  bool reflection = true;
  std::string certificate = {}, key = {};                 // PEM; both empty: no TLS
  int streams_max = 1024;                                 // at once on a connection
  std::chrono::milliseconds connection_age_max{300'000};  // then a client reconnects, elsewhere
  std::chrono::milliseconds ping_interval_min{10'000};    // more often is refused
  std::string_view port_name = "grpc";                    // in the log, of strangers
  StrangerSink on_stranger = {};
};

/// A service and the full name that health knows it by.
struct NamedService {
  std::string name;  // "troupe.inference.v1.InferenceService"
  std::shared_ptr<grpc::Service> service;
};

/// Connections that do not begin as gRPC's do are answered, closed and told to `on_stranger`; gRPC
/// gets all others. *Threading*: any.
class ListeningServer {
 public:
  /// Opens the port. Health says NOT_SERVING until `set_serving`.
  /// *Errors*: `unavailable` when the port cannot be opened, with the reason of the operating
  /// system.
  static Expected<std::unique_ptr<ListeningServer>> start(const GrpcSettings& settings,
                                                          std::vector<NamedService> services);
  /// Cancels what is open and waits for its end.
  ~ListeningServer();

  std::uint16_t port() const;
  /// host:port with the port in use.
  std::string address() const;
  /// What grpc.health.v1.Health says of every service and of the server as a whole (""). Watchers
  /// hear of changes only.
  void set_serving(bool serving);

 private:
  struct Impl;
  explicit ListeningServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace troupe::services
