// Spawns directors: one for a router process of a cluster, or the one of a cluster in one process.
#pragma once
#include <functional>

#include "actors/director/director_core.hpp"
#include "actors/director/director_news.hpp"
#include "actors/interfaces.hpp"

namespace troupe::actors {

struct DirectorHooks {
  std::function<void(const DirectorEvent&)> on_event;  // on the actor's thread; must not block
};

/// To be told to quit (`anon_send_exit`) before the system ends: its own timer keeps it alive.
DirectorActor spawn_director(caf::actor_system& system, const model::ModelConfig& config,
                             DirectorSettings settings, DirectorHooks hooks = {});
LocalDirectorActor spawn_local_director(caf::actor_system& system, DirectorCore core);

/// Makes the messages of both planes' control interfaces known to a system, so that they can
/// travel. For every configuration of a system that publishes or connects.
void register_control_messages(caf::actor_system_config& config);

}  // namespace troupe::actors
