// All metrics of one process, filled from its roles whenever somebody scrapes.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "actors/node/cluster_node.hpp"
#include "services/attention/attention_metrics.hpp"
#include "services/expert/expert_metrics.hpp"
#include "services/process/cluster_metrics.hpp"
#include "services/router/router_metrics.hpp"

namespace troupe::services {

/// The roles of a process, by index.
struct HostedRoles {
  std::vector<std::uint32_t> attention = {};
  std::vector<std::uint32_t> routers = {};
  std::vector<std::uint32_t> experts = {};  // ranks
  std::uint32_t expert_ranks = 1;           // of the whole cluster
};
HostedRoles hosted_roles(const actors::NodeSettings& settings);
HostedRoles hosted_roles(const actors::ClusterSettings& settings);

/// Who is asked for the values; all may block, bounded. What is null is not asked.
struct MetricSources {
  std::function<actors::RoleStatuses()> statuses = {};
  std::function<Expected<actors::ClusterReport>()> report = {};  // for the states of ranks
  std::function<void(const actors::RoleStatuses&)> front = {};   // collects a front's own metrics
  std::function<model::LoadProgress::Snapshot(std::uint32_t rank)> loading =
      {};  // of the weights of a rank
};
/// Of a process whose roles have that index.
actors::RoleStatuses statuses_of(const actors::NodeStatus& status, std::uint32_t index);

/// *Threading*: any thread, `text` from one. Only `text` blocks for the roles' answers, and nobody
/// else for it.
class ServiceMetrics {
 public:
  /// `model`: its served name, the label of that name.
  explicit ServiceMetrics(std::string model);

  /// The model is known: the metrics of the roles exist from now on.
  void declare(const HostedRoles& roles, const model::ModelConfig& config);
  /// From now on they are asked.
  void attach(MetricSources sources);
  std::string text();
  MetricBook& book() { return book_; }

 private:
  void take(const actors::RoleStatuses& statuses);

  std::mutex mutex_;  // never held while somebody is asked
  std::string model_;
  MetricBook book_;
  ClusterMetrics cluster_;
  std::map<std::uint32_t, AttentionMetrics> attention_;
  std::map<std::uint32_t, RouterMetrics> routers_;
  std::map<std::uint32_t, ExpertMetrics> experts_;
  MetricSources sources_;
};

}  // namespace troupe::services
