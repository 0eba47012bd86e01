// Spawns the agents of members: each keeps its role in the cluster.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "actors/control/basp_connection.hpp"
#include "actors/control/knock.hpp"
#include "actors/endpoint.hpp"
#include "actors/interfaces.hpp"
#include "actors/member/member_core.hpp"

namespace troupe::actors {

/// What an agent knows, for whoever may not wait for its answer.
/// *Threading*: the agent writes, anybody reads.
class MemberView {
 public:
  struct Snapshot {
    MemberState state = MemberState::loading;
    float load_progress = 0;
    std::uint64_t term = 0;
    std::uint64_t epoch = 0;
    bool serving = false;
    bool welcome = false;  // some director has let it in
    std::optional<Error> fatal;
    Lacks lacks;
    std::optional<TimePoint> unserved_since;  // MemberNeeds
  };
  Snapshot get() const {
    std::lock_guard lock(mutex_);
    return snapshot_;
  }
  void set(Snapshot snapshot) {
    std::lock_guard lock(mutex_);
    snapshot_ = std::move(snapshot);
  }

 private:
  mutable std::mutex mutex_;
  Snapshot snapshot_;
};

/// The roles of this process, which meet without addresses.
struct HostedRoles {
  std::map<PeerId, LinkedActor> roles;
};

/// What became of a knock at a control port.
struct Knocked {
  std::shared_ptr<Socket> socket;  // null: see fault
  JoinFault fault;
};

}  // namespace troupe::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::HostedRoles)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::Knocked)

namespace troupe::actors {

using host_atom = caf::atom_constant<caf::atom("host")>;
using state_atom = caf::atom_constant<caf::atom("state")>;
using knock_atom = caf::atom_constant<caf::atom("knock")>;

/// Connects to one control port on behalf of a member. Has a thread of its own.
using KnockActor = caf::typed_actor<caf::replies_to<knock_atom, PeerId>::with<Knocked>>;

/// The agent of one role. Ordinary CAF actor; directors see its MemberActor part.
using AgentActor = MemberActor::extend_with<PlacementActor>::extend<
    // The roles of this process, its own among them, are running.
    caf::reacts_to<host_atom, HostedRoles>,
    // A MemberState, and how much is loaded, 0 to 1.
    caf::reacts_to<state_atom, std::uint8_t, float>,
    // The cluster as the director sees it.
    caf::replies_to<report_atom>::with<ReportReply>,
    // What its expert shards have computed.
    caf::replies_to<loads_atom>::with<LoadsReply>,
    // Its own timer; the number tells the newest one.
    caf::reacts_to<tick_atom, std::uint64_t>>;

struct AgentContext {
  MemberSettings settings;
  std::uint64_t seed = 0;
  std::vector<Endpoint> routers;   // control ports, by router index
  std::vector<KnockActor> knocks;  // one for each of them
  std::shared_ptr<const CafConnector> connector;
  DirectorActor own_director;  // of this process: no connection is needed
  std::shared_ptr<RolePulse> pulse;
  std::shared_ptr<PeerStandings> standings;
  std::shared_ptr<MemberView> view;
  EventSink on_event;
};

KnockActor spawn_knock(caf::actor_system& system, Endpoint router, JoinIdentity own,
                       std::shared_ptr<const std::atomic<bool>> stop);
/// To be told to quit before the system ends: its timer keeps it alive.
AgentActor spawn_agent(caf::actor_system& system, AgentContext context);

}  // namespace troupe::actors
