// All metrics of one service process, filled from its node whenever somebody scrapes.
#pragma once
#include <mutex>
#include <optional>
#include <string>

#include "services/attention/attention_metrics.hpp"
#include "services/expert/expert_metrics.hpp"
#include "services/process/cluster_metrics.hpp"
#include "services/process/service_front.hpp"
#include "services/router/router_metrics.hpp"

namespace troupe::services {

/// *Threading*: any thread; `text` blocks for the node's answers, bounded.
class ServiceMetrics {
 public:
  /// `model`: its served name, the label of that name.
  explicit ServiceMetrics(std::string model);

  /// The node has come up: its roles' metrics exist from now on. `node` outlives the last `text`.
  void attach(const actors::ClusterNode& node, const actors::NodeSettings& settings,
              const model::ModelConfig& config);
  void attach(ServiceFront& front);
  void take_load(const actors::LoadProgress& progress);
  std::string text();
  MetricBook& book() { return book_; }

 private:
  void collect();

  std::mutex mutex_;
  std::string model_;
  MetricBook book_;
  ClusterMetrics cluster_;
  std::optional<AttentionMetrics> attention_;
  std::optional<RouterMetrics> router_;
  std::optional<ExpertMetrics> expert_;
  actors::LoadProgress load_;
  const actors::ClusterNode* node_ = nullptr;
  ServiceFront* front_ = nullptr;
};

}  // namespace troupe::services
