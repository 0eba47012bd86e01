// Which roles a process has decides which metrics it shows.
#include "services/process/service_metrics.hpp"

#include <utility>

#include "services/runtime/metrics/transports.hpp"

namespace troupe::services {
namespace {

std::vector<std::uint32_t> first(int count) {
  std::vector<std::uint32_t> indices;
  for (int i = 0; i < count; ++i) indices.push_back(static_cast<std::uint32_t>(i));
  return indices;
}

/// What carries rows from the routers here to expert shards.
std::string expert_transport(const actors::RoleStatuses& statuses) {
  std::string transport(kTransports.front());
  for (const auto& link : statuses.links)
    if (actors::role_of(link.self) == proto::Role::router &&
        actors::role_of(link.peer) == proto::Role::expert)
      transport = transport_of(link.lanes);
  return transport;
}

}  // namespace

HostedRoles hosted_roles(const actors::NodeSettings& settings) {
  HostedRoles roles;
  roles.expert_ranks = settings.expert_ranks;
  const std::vector<std::uint32_t> own{settings.index};
  if (settings.role == proto::Role::attention) roles.attention = own;
  if (settings.role == proto::Role::router || settings.colocated_router) roles.routers = own;
  if (settings.role == proto::Role::expert) roles.experts = own;
  return roles;
}

HostedRoles hosted_roles(const actors::ClusterSettings& settings) {
  return {first(settings.attention), first(settings.routers), first(settings.experts),
          static_cast<std::uint32_t>(settings.experts)};
}

actors::RoleStatuses statuses_of(const actors::NodeStatus& status, std::uint32_t index) {
  actors::RoleStatuses all;
  all.epoch = status.epoch;
  all.gateway = status.gateway;
  if (status.attention) all.attention.emplace_back(index, *status.attention);
  if (status.router) all.routers.emplace_back(index, *status.router);
  if (status.expert) all.experts.emplace_back(index, *status.expert);
  all.links = status.links;
  all.link_endings = status.link_endings;
  return all;
}

ServiceMetrics::ServiceMetrics(std::string model)
    : model_(std::move(model)), cluster_(book_, model_) {}

void ServiceMetrics::declare(const HostedRoles& roles, const model::ModelConfig& config) {
  const std::lock_guard lock(mutex_);
  for (const auto index : roles.attention) attention_.try_emplace(index, book_, model_, index);
  for (const auto index : roles.routers)
    routers_.try_emplace(index, book_, model_, roles.expert_ranks, config);
  for (const auto rank : roles.experts) experts_.try_emplace(rank, book_, model_, rank, config);
  if (!routers_.empty()) cluster_.take_ranks({});
}

void ServiceMetrics::attach(MetricSources sources) {
  const std::lock_guard lock(mutex_);
  sources_ = std::move(sources);
}

void ServiceMetrics::take(const actors::RoleStatuses& statuses) {
  cluster_.take(statuses);
  for (const auto& [index, status] : statuses.attention) attention_.at(index).take(status);
  for (const auto& [index, status] : statuses.experts) experts_.at(index).take(status);
  const std::string transport = expert_transport(statuses);
  for (const auto& [index, status] : statuses.routers) routers_.at(index).take(status, transport);
}

std::string ServiceMetrics::text() {
  MetricSources sources;
  bool has_router = false;
  {
    const std::lock_guard lock(mutex_);
    sources = sources_;
    has_router = !routers_.empty();
  }
  actors::RoleStatuses statuses;
  std::optional<actors::ClusterReport> report;
  if (sources.statuses) statuses = sources.statuses();
  if (sources.report && has_router)
    if (auto answer = sources.report()) report = *std::move(answer);
  if (sources.front) sources.front(statuses);
  const std::lock_guard lock(mutex_);
  cluster_.take_process();
  if (sources.statuses) take(statuses);
  if (sources.loading)
    for (auto& [rank, expert] : experts_) expert.take_load(sources.loading(rank));
  if (report) cluster_.take_ranks(*report);
  return book_.text();
}

}  // namespace troupe::services
