// Spawns the actors of a cluster; the only way from configuration to handles.
#pragma once
#include <memory>

#include "actors/interfaces.hpp"
#include "actors/polled_actor.hpp"
#include "actors/ucx_dock.hpp"

namespace troupe::actors {

/// What every polled actor of one process is given.
struct SpawnContext {
  PollSettings poll;
  RoleContext role;  // credentials of that actor included
  DockSettings dock;
  EventSink on_event;
  /// Time stands still for the role while the process is stopped. Where a director watches, a
  /// process that was stopped rejoins instead.
  bool hides_stops = true;
};

/// They follow `placements`: the local director, or the agent of that role.
ExpertActor spawn_expert(caf::actor_system& system, const SpawnContext& context,
                         ExpertSettings settings, std::shared_ptr<const model::ExpertModel> model,
                         const PlacementActor& placements);
RouterActor spawn_router(caf::actor_system& system, const SpawnContext& context,
                         RouterSettings settings, std::shared_ptr<const model::RouterModel> model,
                         const PlacementActor& placements);
AttentionActor spawn_attention(caf::actor_system& system, const SpawnContext& context,
                               AttentionSettings settings,
                               std::shared_ptr<const model::AttentionModel> model);
GatewayActor spawn_gateway(caf::actor_system& system, const SpawnContext& context,
                           GatewaySettings settings, std::uint32_t attempts_max);

SessionActor spawn_session(caf::actor_system& system, const GatewayActor& gateway, OpenOrder order,
                           std::uint32_t attempts_max);

}  // namespace troupe::actors
