// Events from two rosters and two placements.
#include "actors/director/director_news.hpp"

#include <algorithm>

namespace troupe::actors {
namespace {

bool was_told(const Roster& before, const RosterEntry& member) {
  return std::ranges::any_of(before.members, [&](const RosterEntry& old) {
    return old.peer == member.peer && old.incarnation == member.incarnation &&
           old.state == member.state;
  });
}

}  // namespace

std::vector<DirectorEvent> news_of(std::uint32_t router, const Roster& before,
                                   const PlacementPtr& placement_before, const Roster& now,
                                   const PlacementPtr& placement_now) {
  std::vector<DirectorEvent> news;
  if (now.term != before.term)
    news.push_back({now.term != 0 ? "director_active" : "director_passive",
                    "router=" + std::to_string(router) +
                        " term=" + std::to_string(now.term != 0 ? now.term : before.term)});
  for (const auto& member : now.members) {
    if (was_told(before, member)) continue;
    const bool bad = member.state == MemberState::suspect || member.state == MemberState::lost;
    news.push_back(
        {"member_state",
         "peer=" + name_of(member.peer) + " state=" + std::string(to_string(member.state)), bad});
  }
  if (placement_now && placement_now != placement_before)
    news.push_back(
        {"placement_published", "term=" + std::to_string(placement_now->placement.term) +
                                    " epoch=" + std::to_string(placement_now->placement.epoch)});
  if (now.serving != before.serving)
    news.push_back(
        {"cluster_serving", now.serving ? "serving=true" : "serving=false", !now.serving});
  return news;
}

}  // namespace troupe::actors
