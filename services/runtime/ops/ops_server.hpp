// The ops port of a service: probes and metrics over plain HTTP. No HTTP library in here.
#pragma once
#include <cstdint>
#include <memory>

#include "core/expected.hpp"
#include "services/runtime/config/service_config.hpp"
#include "services/runtime/ops/health.hpp"

namespace troupe::services {

/// Serves `/livez`, `/readyz` (also `/health`), `/startupz`, each with `?verbose`, and `/metrics`.
/// A request may have 16 KiB and 5 seconds; connections are served once each by a few threads.
/// Anything that is no HTTP is answered 400 or closed.
/// *Threading*: any; threads of its own. Idle, it sleeps in `accept`.
class OpsServer {
 public:
  /// *Errors*: `unavailable` when the port cannot be opened, with the system's reason.
  static Expected<std::unique_ptr<OpsServer>> start(const Address& listen, HealthSources sources);
  OpsServer(const OpsServer&) = delete;
  /// Stops listening and waits for requests under way, at most their 5 seconds.
  ~OpsServer();

  /// With the port in use.
  Address address() const;

 private:
  struct Impl;
  explicit OpsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace troupe::services
