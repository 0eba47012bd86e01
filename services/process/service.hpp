// One running service: what its main loop, its ops threads and its loader share.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "services/process/loading.hpp"
#include "services/process/run_service.hpp"
#include "services/process/service_metrics.hpp"
#include "services/process/stop_signals.hpp"
#include "services/runtime/ops/ops_server.hpp"
#include "transport/ucx/ucx_log.hpp"

namespace troupe::services {

/// *Threading*: the main thread; ops threads read what is atomic or locked.
class Service {
 public:
  explicit Service(const ServiceOrder& order);
  Service(const Service&) = delete;
  ~Service();

  /// Returns the exit code.
  int run();

 private:
  using Clock = std::chrono::steady_clock;

  std::optional<int> open_ops_port();
  std::optional<int> load();
  /// On the loader's thread; the exit code of an error that was reported, 0 when it is done.
  int load_and_start();
  void attach_metrics();
  std::optional<int> open_front();
  void summarise();
  std::optional<int> serve();
  int drain(int signal);
  int fail(Fault fault, const std::string& text);
  int fail_start(const Error& error);
  void beat();

  HealthSources health();
  HealthChecks live_checks() const;
  HealthChecks ready_checks() const;
  HealthChecks start_checks() const;
  void on_event(const actors::NodeEvent& event);
  void on_ucx_stranger(const transport::UcxStranger& who);

  StopSignals signals_;  // first: threads inherit its mask
  const ServiceOrder& order_;
  Logger log_;
  StrangerLog strangers_{log_};
  transport::UcxLog ucx_log_;
  Loading loading_;
  std::string served_name_;
  ServiceMetrics metrics_;
  Clock::time_point began_ = Clock::now();
  actors::NodeSettings settings_;
  std::shared_ptr<const model::Checkpoint> checkpoint_;
  std::unique_ptr<actors::ClusterNode> node_;
  std::unique_ptr<ServiceFront> front_;
  std::unique_ptr<OpsServer> ops_;  // before what it asks is gone
  std::atomic<bool> started_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> front_open_{false};
  std::atomic<Clock::rep> last_beat_{0};
};

}  // namespace troupe::services
