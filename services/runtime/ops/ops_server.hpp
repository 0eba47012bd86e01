// The ops port of a service: probes and metrics over plain HTTP.
#pragma once
#include <cstdint>
#include <memory>

#include "core/expected.hpp"
#include "services/runtime/config/service_config.hpp"
#include "services/runtime/ops/health.hpp"
#include "services/runtime/ports/stranger_log.hpp"

namespace troupe::services {

/// Serves `/livez`, `/readyz` (also `/health`), `/startupz`, each with `?verbose`, and `/metrics`.
/// One thread serves all connections without waiting for any of them: a request may have 16 KiB
/// and, from connecting to the last byte of its answer, 5 seconds; of more than 64 connections the
/// oldest is closed. `/metrics` is collected on a second thread; what is not there after 2 seconds
/// is answered with the values of the last time. Anything that is no HTTP is answered 400 or
/// closed, and told to `on_stranger`; connections that close without a byte, as probes of the port
/// do, are not. *Threading*: any; idle, both threads sleep.
class OpsServer {
 public:
  /// *Errors*: `unavailable` when the port cannot be opened, with the system's reason.
  static Expected<std::unique_ptr<OpsServer>> start(const Address& listen, HealthSources sources,
                                                    StrangerSink on_stranger = {});
  OpsServer(const OpsServer&) = delete;
  /// Closes all connections; waits for a collection of metrics under way.
  ~OpsServer();

  /// With the port in use.
  Address address() const;

 private:
  struct Impl;
  explicit OpsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace troupe::services
