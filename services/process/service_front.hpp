// What a gateway puts in front of its node: APIs with ports of their own. No gRPC in here.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/node/cluster_node.hpp"
#include "core/expected.hpp"
#include "services/runtime/config/service_config.hpp"
#include "services/runtime/log/logger.hpp"
#include "services/runtime/metrics/metric_book.hpp"
#include "services/runtime/ops/health.hpp"
#include "services/runtime/ports/stranger_log.hpp"

namespace troupe::services {

/// Its destructor cancels what is open. *Threading*: called from the main thread.
class ServiceFront {
 public:
  virtual ~ServiceFront() = default;
  /// What it listens on: {"grpc", "127.0.0.1:50051"}, ...
  virtual std::vector<std::pair<std::string, std::string>> addresses() const = 0;
  /// No new calls, health says so; open ones go on.
  virtual void drain() = 0;
  virtual bool drained() const = 0;
  /// Before each scrape, from the thread that collects.
  virtual void collect(const actors::RoleStatuses& statuses) { (void)statuses; }
};

/// What a front is made of; all of it outlives the front.
struct FrontContext {
  const ServiceConfig& config;
  std::string served_name;
  actors::ClusterNode& node;
  MetricBook& metrics;
  Logger& log;
  HealthSources health = {};  // as the ops port has it
  StrangerSink on_stranger = {};
};

/// What differs from service to service.
struct ServiceParts {
  /// Opens the model; none: the checkpoint alone. What it returns may own more than the checkpoint.
  std::function<Expected<std::shared_ptr<const model::Checkpoint>>(const std::string& path)> open;
  /// None: the service has no front. *Errors*: `unavailable` (a port), others as the model's.
  std::function<Expected<std::unique_ptr<ServiceFront>>(const FrontContext&)> make_front;
};

}  // namespace troupe::services
