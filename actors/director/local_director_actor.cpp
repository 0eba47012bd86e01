// The director of a cluster within one process: announcements in, placements out.
//
// When an expert shard disappears, its placement stays: the routers leave the shard out by
// themselves. When a router disappears, it is forgotten. When the director itself disappears, the
// last placement stays in force everywhere.
#include <vector>

#include "actors/director/spawn_director.hpp"

namespace troupe::actors {
namespace {

struct LocalDirectorState {
  static inline const char* name = "troupe.local_director";
  std::unique_ptr<DirectorCore> core;
  std::vector<RouterActor> routers;
  std::vector<ExpertActor> experts;
};
using Self = LocalDirectorActor::stateful_pointer<LocalDirectorState>;

void tell_all(Self self, const PlacementPtr& placement) {
  for (const auto& router : self->state.routers) self->send(router, adopt_atom_v, placement);
  for (const auto& expert : self->state.experts) self->send(expert, adopt_atom_v, placement);
}

template <class Follower>
void follow(Self self, std::vector<Follower>& followers, const Follower& follower) {
  followers.push_back(follower);
  self->monitor(follower);
  if (const auto& current = self->state.core->placement())
    self->send(follower, adopt_atom_v, current);
}

LocalDirectorActor::behavior_type local_director(Self self, DirectorCore core) {
  self->state.core = std::make_unique<DirectorCore>(std::move(core));
  self->set_down_handler([self](const caf::down_msg& down) {
    const auto is_it = [&](const auto& actor) { return actor.address() == down.source; };
    std::erase_if(self->state.routers, is_it);
    std::erase_if(self->state.experts, is_it);
  });
  return {
      [self](follow_atom, const RouterActor& router) { follow(self, self->state.routers, router); },
      [self](follow_atom, const ExpertActor& expert) { follow(self, self->state.experts, expert); },
      [self](newest_atom, const RouterActor& router) {
        if (const auto& current = self->state.core->placement())
          self->send(router, adopt_atom_v, current);
      },
      [self](announce_atom, const Announcement& announcement) {
        auto& core = *self->state.core;
        const auto before = core.placement();
        const auto reply = core.announce(announcement, self->clock().now());
        TROUPE_CHECK(reply.refusal == Refusal::none, reply.error.detail);
        if (core.placement() != before) tell_all(self, core.placement());
      },
      [self](publish_atom, const PlacementNote& draft) {
        const auto placement = self->state.core->publish(draft.placement->placement);
        if (!placement) return PublishOutcome{0, placement.error()};
        tell_all(self, *placement);
        return PublishOutcome{(*placement)->placement.epoch, {Errc::ok, {}}};
      }};
}

}  // namespace

LocalDirectorActor spawn_local_director(caf::actor_system& system, DirectorCore core) {
  return system.spawn(local_director, std::move(core));
}

}  // namespace troupe::actors
