// What a fake role actor answers about links: nothing worth hearing.
#pragma once
#include <utility>

#include "actors/interfaces.hpp"

namespace troupe::actors::testing {

/// The behavior of `handlers` and of a LinkedActor that adopts into `adopted` and has no links.
template <class Handle, class Adopt, class... Handlers>
typename Handle::behavior_type with_no_links(Adopt adopted, Handlers... handlers) {
  return {std::move(handlers)...,
          [](meet_atom, PeerId, const caf::strong_actor_ptr&) { return MeetOutcome{}; },
          [](attach_atom, PeerId, const LinkEnd&) {},
          [](dial_atom, PeerId, bool) { return DialOutcome{}; },
          [](dialled_atom, PeerId, const std::string&) { return MeetOutcome{}; },
          [](abandon_atom, PeerId) {},
          [](accept_atom, PeerId, const std::string&) { return DialOutcome{}; },
          [](drop_atom, PeerId, const std::string&) {},
          [](rejoin_atom, std::uint64_t) {},
          [adopted](adopt_atom, const PlacementPtr& next) { adopted(next); },
          [](links_atom) { return LinkReports{}; }};
}

}  // namespace troupe::actors::testing
