// Children first, then the gateway that looks for them.
#include "services/cli/process_cluster.hpp"

#include <fstream>
#include <iterator>
#include <random>

namespace troupe::services {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

Expected<std::unique_ptr<ProcessCluster>> ProcessCluster::start(LocalPlan plan,
                                                                const model::Checkpoint& checkpoint,
                                                                actors::NodeSettings settings,
                                                                actors::NodeHooks hooks) {
  auto identified = with_identity(std::move(plan));
  if (!identified) return unexpected(identified.error());
  std::unique_ptr<ProcessCluster> cluster(new ProcessCluster);
  for (auto& spec : local_services(*identified))
    if (auto started = cluster->children_.start(std::move(spec)); !started)
      return unexpected(started.error());
  settings.role = proto::Role::gateway;
  settings.index = std::random_device{}();
  settings.expert_ranks = static_cast<std::uint32_t>(identified->experts);
  settings.routers_count = static_cast<std::uint32_t>(identified->routers);
  settings.cluster_name = identified->cluster_name;
  settings.join_token = text_of(identified->join_token_file);
  for (const auto port : identified->control_ports) settings.routers.push_back({"127.0.0.1", port});
  hooks.on_event = [tell = std::move(hooks.on_event),
                    leaving = cluster->leaving_](const actors::NodeEvent& event) {
    if (tell && !*leaving) tell(event);
  };
  cluster->held_ports_ = std::move(identified->held_ports);
  auto node = actors::ClusterNode::start(checkpoint, settings, std::move(hooks));
  if (!node) return unexpected(node.error());
  cluster->node_ = *std::move(node);
  return cluster;
}

ProcessCluster::~ProcessCluster() {
  // They hold nothing that outlives the command, and none is to report the end of another.
  *leaving_ = true;
  children_.stop(std::chrono::milliseconds(0));
}

void ProcessCluster::look(std::chrono::milliseconds bound) {
  auto exits = children_.wait(bound);
  if (!ended_ && !exits.empty()) ended_ = std::move(exits.front());
}

Expected<void> ProcessCluster::check() {
  look(std::chrono::milliseconds(0));
  if (!ended_) return {};
  return unexpected(Errc::unavailable, ended_->spec.name + " (pid " + std::to_string(ended_->pid) +
                                           ") ended with " + how_it_ended(*ended_) +
                                           "; its message is above");
}

Expected<bool> ProcessCluster::ready(std::chrono::milliseconds bound) {
  if (auto fine = check(); !fine) return unexpected(fine.error());
  if (const auto fatal = node_->fatal()) return unexpected(*fatal);
  if (node_->readiness().ready()) return true;
  look(bound);
  return false;
}

}  // namespace troupe::services
