// Events from two rosters and two placements.
#include "actors/director/director_news.hpp"

#include <algorithm>
#include <optional>

namespace troupe::actors {
namespace {

/// What was told of this run of the member last; nothing if it is new.
std::optional<MemberState> told_state(const Roster& before, const RosterEntry& member) {
  const auto old = std::ranges::find_if(before.members, [&](const RosterEntry& one) {
    return one.peer == member.peer && one.incarnation == member.incarnation;
  });
  return old == before.members.end() ? std::nullopt : std::optional(old->state);
}

/// A member that drained before it went had said that it would.
bool is_bad(MemberState state, std::optional<MemberState> before) {
  if (state == MemberState::lost) return before != MemberState::draining;
  return state == MemberState::suspect;
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
    const auto told = told_state(before, member);
    if (told == member.state) continue;
    news.push_back(
        {"member_state",
         "peer=" + name_of(member.peer) + " state=" + std::string(to_string(member.state)),
         is_bad(member.state, told)});
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
