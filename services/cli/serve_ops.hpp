// The ops port of `troupe serve`: probes and metrics of all roles of this process.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "services/cli/compute.hpp"
#include "services/gateway/gateway_metrics.hpp"
#include "services/gateway/gateway_state.hpp"
#include "services/gateway/local_engine.hpp"
#include "services/process/service_metrics.hpp"
#include "services/runtime/ops/ops_server.hpp"

namespace troupe::services {

/// Lives longer than the engine and the gateway's servers; `close` comes before their end.
/// *Threading*: the main thread; `on_call_end` from any.
class ServeOps {
 public:
  /// `model`: its served name.
  explicit ServeOps(const std::string& model) : metrics_(model), gateway_(metrics_.book(), model) {}
  ServeOps(const ServeOps&) = delete;

  /// *Errors*: `unavailable` when the port cannot be opened.
  Expected<void> open(const Address& listen, StrangerSink on_stranger);
  std::string address() const { return server_->address().text(); }
  /// The probes, for the public port. They are asked as long as this lives.
  HealthSources health();

  /// The model is known: the metrics of its roles exist. Returns what counts the loading.
  const LoadCounters& begin_loading(const EngineOptions& options, const model::ModelConfig& config);
  /// The roles run; `calls_open` counts the calls being answered.
  void begin_serving(const LocalEngine& engine, std::function<OpenCalls::Counts()> calls_open);
  void begin_draining() { draining_ = true; }
  /// Closes the port: the engine and the gateway are not asked any more.
  void close() { server_.reset(); }
  /// The main loop turns; from begin_serving on it has to.
  void beat() { last_beat_ = Clock::now().time_since_epoch().count(); }
  void on_call_end(const CallRecord& call) { gateway_.record(call); }

 private:
  using Clock = std::chrono::steady_clock;
  HealthChecks live_checks() const;
  HealthChecks start_checks() const;
  HealthChecks ready_checks() const;

  ServiceMetrics metrics_;
  GatewayMetrics gateway_;
  LoadCounters loading_;
  std::atomic<bool> serving_{false};
  std::atomic<bool> draining_{false};
  std::atomic<Clock::rep> last_beat_{0};
  std::unique_ptr<OpsServer> server_;  // last: it asks what is above
};

}  // namespace troupe::services
