// What an operator wants to read of a director's changes. No CAF here.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "actors/membership.hpp"
#include "actors/router/router_role.hpp"

namespace troupe::actors {

/// Told once when it happens. `name` is stable: member_state, member_refused, member_evicted,
/// director_active, director_passive, placement_published, cluster_serving.
struct DirectorEvent {
  std::string name;
  std::string detail;  // key=value pairs, a sentence last
  bool warning = false;
};

/// The difference between what was told last and what is told now, by the director of `router`.
std::vector<DirectorEvent> news_of(std::uint32_t router, const Roster& before,
                                   const PlacementPtr& placement_before, const Roster& now,
                                   const PlacementPtr& placement_now);

}  // namespace troupe::actors
