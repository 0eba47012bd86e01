// Which roles a process has decides which metrics it shows.
#include "services/process/service_metrics.hpp"

#include "services/runtime/metrics/transports.hpp"

namespace troupe::services {

ServiceMetrics::ServiceMetrics(std::string model)
    : model_(std::move(model)), cluster_(book_, model_) {}

void ServiceMetrics::attach(const actors::ClusterNode& node, const actors::NodeSettings& settings,
                            const model::ModelConfig& config) {
  const std::lock_guard lock(mutex_);
  node_ = &node;
  if (settings.role == proto::Role::attention) attention_.emplace(book_, model_, settings.index);
  if (settings.role == proto::Role::router || settings.colocated_router) {
    router_.emplace(book_, model_, settings.expert_ranks, config);
    cluster_.take_ranks({});
  }
  if (settings.role == proto::Role::expert) expert_.emplace(book_, model_, settings.index, config);
}

void ServiceMetrics::attach(ServiceFront& front) {
  const std::lock_guard lock(mutex_);
  front_ = &front;
}

void ServiceMetrics::take_load(const actors::LoadProgress& progress) {
  const std::lock_guard lock(mutex_);
  load_ = progress;
}

void ServiceMetrics::collect() {
  cluster_.take_process();
  if (node_ == nullptr) return;
  const auto status = node_->status();
  cluster_.take(status);
  if (attention_ && status.attention) attention_->take(*status.attention);
  if (expert_ && status.expert) expert_->take(*status.expert);
  if (expert_) expert_->take_load(status.load_progress, load_.bytes_done, load_.bytes_total);
  if (router_) {
    std::string transport(kTransports.front());
    for (const auto& link : status.links)
      if (actors::role_of(link.self) == proto::Role::router &&
          actors::role_of(link.peer) == proto::Role::expert)
        transport = transport_of(link.lanes);
    if (status.router) router_->take(*status.router, transport);
    if (const auto report = node_->report()) cluster_.take_ranks(*report);
  }
  if (front_ != nullptr) front_->collect(status);
}

std::string ServiceMetrics::text() {
  const std::lock_guard lock(mutex_);
  collect();
  return book_.text();
}

}  // namespace troupe::services
