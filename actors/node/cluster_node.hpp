// One service process of a cluster: its roles, their links over UCX, their place in the cluster.
// No CAF in here.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/attention/attention_role.hpp"
#include "actors/endpoint.hpp"
#include "actors/expert/expert_role.hpp"
#include "actors/gateway/gateway_role.hpp"
#include "actors/local_cluster.hpp"
#include "actors/membership.hpp"
#include "actors/node_event.hpp"
#include "actors/request_engine.hpp"
#include "actors/router/router_role.hpp"
#include "actors/ucx_dock.hpp"
#include "core/expected.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/load_progress.hpp"

namespace troupe::actors {

struct NodeSettings {
  proto::Role role = proto::Role::gateway;
  std::uint32_t index = 0;          // expert: its rank; gateway: any number of its own
  std::uint32_t expert_ranks = 1;   // how many expert processes there are
  std::uint32_t routers_count = 1;  // configured routers, colocated ones included
  bool colocated_router = false;    // attention: a router of the same index in this process
  std::vector<Endpoint> routers;    // control ports of all routers, by index; the own is not used
  Endpoint control_listen;          // router processes; port 0: any, see control_port()
  std::string cluster_name = "troupe";
  std::string join_token;   // any text; hashed before it travels
  std::string ops_address;  // announced, for `troupe status`, as is the version
  std::string version;      // of the program
  Transport transport = Transport::automatic;
  std::vector<std::pair<std::string, std::string>> ucx_options;  // names without UCX_
  std::vector<std::string> ucx_set_by_user;  // likewise; in the environment, where they win
  std::chrono::milliseconds lost_after{3000};
  std::chrono::milliseconds beat_busy{100};
  std::chrono::milliseconds beat_idle{500};
  ClusterSettings engine;  // mode, table, threads, chunk, budgets; its shard counts are not used
};

/// Everything this process can say of itself; what it does not host is absent.
struct NodeStatus {
  MemberState state = MemberState::loading;
  float load_progress = 0;
  std::uint64_t term = 0;
  std::uint64_t epoch = 0;
  bool serving = false;
  std::optional<GatewayStatus> gateway;
  std::optional<AttentionStatus> attention;
  std::optional<RouterStatus> router;
  std::optional<ExpertStatus> expert;
  std::vector<LinkReport> links;
  std::vector<LinkEndings> link_endings;
};

/// One thing this process needs to be ready for work.
struct NodeCheck {
  std::string name;  // "cluster", "placement", "links", "link to expert 2", "expert 2"
  std::string lack;  // what is wrong; empty: nothing
};

/// How far the weights of this process' roles are read, while `start` runs.
using LoadProgress = model::LoadProgress::Snapshot;

struct NodeHooks {
  std::function<void(const NodeEvent&)> on_event;       // from any thread; must not block
  std::function<void(const LoadProgress&)> on_loading;  // from start(), as it grows
  std::optional<proto::VersionRange> protocol;          // tests: speak another version
};

/// *Threading*: any thread; `start`, `status`, `report`, `loads` and the destructor block, bounded.
class ClusterNode : public RequestEngine {
 public:
  /// Opens the control port, announces itself as LOADING, loads the weights of its role, starts
  /// the role and announces itself as ACTIVE. Does not wait for others. `checkpoint` must outlive
  /// the node. *Errors*: `unavailable` when the control port cannot be bound; those of the model's
  /// load functions; `invalid_argument` for settings out of range.
  static Expected<std::unique_ptr<ClusterNode>> start(const model::Checkpoint& checkpoint,
                                                      const NodeSettings& settings,
                                                      NodeHooks hooks = {});
  /// The control port in use; 0 where this process has no router.
  virtual std::uint16_t control_port() const = 0;
  /// What readiness() looks at, thing by thing.
  virtual std::vector<NodeCheck> checks() const = 0;
  virtual NodeStatus status() const = 0;
  /// The whole cluster as the active director sees it. *Errors*: `unavailable` when no director
  /// answers within two seconds.
  virtual Expected<ClusterReport> report() const = 0;
  /// What each expert shard has computed, ascending by peer; those that do not answer are left out.
  /// *Errors*: as `report`.
  virtual Expected<std::vector<ExpertLoad>> loads() const = 0;
  /// State DRAINING: no new work is taken, open requests go on. Done when none is open.
  virtual void drain() = 0;
  virtual bool drained() const = 0;
  /// Set when the node cannot go on: say it and exit. `overloaded` when its rank stays taken, which
  /// may change; refused for good otherwise.
  virtual std::optional<Error> fatal() const = 0;
};

}  // namespace troupe::actors
