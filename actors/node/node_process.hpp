// The actors of one service process: system, director, agents, roles, and their end.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "actors/control/doorkeeper.hpp"
#include "actors/director/spawn_director.hpp"
#include "actors/member/spawn_member.hpp"
#include "actors/node/cluster_node.hpp"
#include "actors/node/node_models.hpp"
#include "actors/spawn_roles.hpp"

namespace troupe::actors {

/// CAF's own threads carry messages only; what computes has its own pool.
struct NodeSystemConfig : caf::actor_system_config {
  NodeSystemConfig();
};

/// One member of the cluster in this process.
struct HostedMember {
  PeerId peer = 0;
  SpawnContext context;
  AgentActor agent;
  LinkedActor role;  // null until it is spawned
  std::shared_ptr<MemberView> view = std::make_shared<MemberView>();
};

/// Members in order of need: the actors (in `system`) end before models and pool.
/// *Threading*: one owner.
class NodeProcess {
 public:
  NodeProcess(const model::Checkpoint& checkpoint, NodeSettings settings, NodeHooks hooks);
  NodeProcess(const NodeProcess&) = delete;
  /// Cancels what is open and joins all threads.
  ~NodeProcess();

  /// Opens the control port and announces the members as LOADING. *Errors*: as ClusterNode::start.
  Expected<void> open();
  /// Loads the weights and starts the roles. *Errors*: those of the models.
  Expected<void> load();
  void set_state(MemberState state, float loaded = 1);
  void say(NodeEvent::Severity severity, std::string name, std::string detail) const;

  const model::Checkpoint& checkpoint;
  const NodeSettings settings;
  const NodeHooks hooks;
  model::Numerics numerics;
  std::uint64_t numerics_id = 0;
  std::uint16_t control_port = 0;
  std::vector<HostedMember> members;
  GatewayActor gateway;
  AttentionActor attention;
  RouterActor router;
  ExpertActor expert;

  caf::actor_system& system() const { return *system_; }

 private:
  Expected<void> open_control_port();
  Expected<void> open_door();
  void spawn_agents();
  void spawn_roles();
  SpawnContext context(PeerId peer) const;
  Announcement announcement(const HostedMember& member) const;
  HostedMember& member(proto::Role role);
  void stop();

  std::shared_ptr<LocalWire> wire_ = std::make_shared<LocalWire>();
  std::unique_ptr<kernels::ComputePool> pool_;
  kernels::Engine engine_;
  NodeModels models_;
  std::uint64_t process_ = 0;  // random
  proto::PeerIdentity identity_;
  std::array<std::byte, proto::kJoinTokenBytes> join_token_{};
  std::shared_ptr<std::atomic<bool>> stopping_ = std::make_shared<std::atomic<bool>>(false);
  NodeSystemConfig config_;
  std::unique_ptr<caf::actor_system> system_;
  DirectorActor director_;
  JoinIdentity join_;
  std::shared_ptr<const CafConnector> connector_;
  std::unique_ptr<Doorkeeper> doorkeeper_;
  std::vector<KnockActor> knocks_;
};

}  // namespace troupe::actors
