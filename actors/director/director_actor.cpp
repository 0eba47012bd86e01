// The director actor: announcements in, placements out.
//
// One is meant for every router process, one of them active; in one process there is one.
// When an expert shard disappears, its placement stays: the routers leave the shard out by
// themselves. When a router disappears, it is forgotten. When the director itself disappears, the
// last placement stays in force everywhere.
#include <vector>

#include "actors/spawn_roles.hpp"

namespace troupe::actors {
namespace {

struct DirectorState {
  static inline const char* name = "troupe.director";
  std::unique_ptr<DirectorCore> core;
  std::vector<RouterActor> routers;
  std::vector<ExpertActor> experts;
};
using Self = DirectorActor::stateful_pointer<DirectorState>;

void tell_all(Self self, const PlacementPtr& placement) {
  for (const auto& router : self->state.routers) self->send(router, adopt_atom_v, placement);
  for (const auto& expert : self->state.experts) self->send(expert, adopt_atom_v, placement);
}

template <class Follower>
void follow(Self self, std::vector<Follower>& followers, const Follower& follower) {
  followers.push_back(follower);
  self->monitor(follower);
  if (const auto& current = self->state.core->current())
    self->send(follower, adopt_atom_v, current);
}

DirectorActor::behavior_type director(Self self, DirectorCore core) {
  self->state.core = std::make_unique<DirectorCore>(std::move(core));
  self->set_down_handler([self](const caf::down_msg& down) {
    const auto is_it = [&](const auto& actor) { return actor.address() == down.source; };
    std::erase_if(self->state.routers, is_it);
    std::erase_if(self->state.experts, is_it);
  });
  return {
      [self](announce_atom, const ShardAnnouncement& shard) {
        const auto placement = self->state.core->announce(shard);
        if (placement && *placement) tell_all(self, *placement);
      },
      [self](follow_atom, const RouterActor& router) { follow(self, self->state.routers, router); },
      [self](follow_atom, const ExpertActor& expert) { follow(self, self->state.experts, expert); },
      [self](newest_atom, const RouterActor& router) {
        if (const auto& current = self->state.core->current())
          self->send(router, adopt_atom_v, current);
      },
      [self](publish_atom, const PlacementDraft& draft) {
        const auto placement = self->state.core->publish(*draft);
        if (!placement) return PublishOutcome{0, placement.error()};
        tell_all(self, *placement);
        return PublishOutcome{(*placement)->placement.epoch, {Errc::ok, {}}};
      }};
}

}  // namespace

DirectorActor spawn_director(caf::actor_system& system, DirectorCore core) {
  return system.spawn(director, std::move(core));
}

}  // namespace troupe::actors
