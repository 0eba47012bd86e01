// A cluster of separate processes on this machine that lives as long as one command needs it.
#pragma once
#include <atomic>
#include <memory>
#include <optional>

#include "actors/node/cluster_node.hpp"
#include "core/expected.hpp"
#include "services/local/child_processes.hpp"
#include "services/local/local_services.hpp"

namespace troupe::services {

/// Routers, attention and expert services as children; the gateway is this process.
/// *Threading*: made, waited for and destroyed on one thread; `engine` as RequestEngine.
class ProcessCluster : public actors::RequestEngine {
 public:
  /// Starts the children and the gateway; does not wait. `checkpoint` must outlive it; `settings`
  /// are those of the gateway, whose address book is filled in from the plan.
  /// *Errors*: `resource_exhausted`, those of ClusterNode::start.
  static Expected<std::unique_ptr<ProcessCluster>> start(LocalPlan plan,
                                                         const model::Checkpoint& checkpoint,
                                                         actors::NodeSettings settings,
                                                         actors::NodeHooks hooks);
  ~ProcessCluster() override;

  /// Waits at most `bound` for a change. True: requests can be served. *Errors*: `unavailable` when
  /// a child has ended or the gateway was refused; its own message is on stderr.
  Expected<bool> ready(std::chrono::milliseconds bound);

  Expected<actors::RequestId> submit(actors::GenerateRequest request,
                                     std::shared_ptr<actors::RequestListener> listener) override {
    return node_->submit(std::move(request), std::move(listener));
  }
  void cancel(actors::RequestId request) override { node_->cancel(request); }
  actors::Readiness readiness() const override { return node_->readiness(); }
  std::uint64_t numerics_id() const override { return node_->numerics_id(); }

 private:
  ProcessCluster() = default;
  void look(std::chrono::milliseconds bound);
  Expected<void> check();

  std::shared_ptr<std::atomic<bool>> leaving_ = std::make_shared<std::atomic<bool>>(false);
  std::vector<Descriptor> held_ports_;  // of the routers
  ChildProcesses children_;
  std::optional<ChildExit> ended_;             // the first that did
  std::unique_ptr<actors::ClusterNode> node_;  // ends before the children
};

}  // namespace troupe::services
