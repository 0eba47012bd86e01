// What operators are told of a director's changes, and what of it is a warning.
#include "actors/director/director_news.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace troupe::actors {
namespace {

/// The news of one member that goes from `before` to `now`.
std::vector<DirectorEvent> news(std::optional<MemberState> before, MemberState now,
                                std::uint64_t incarnation = 1) {
  const PeerId gateway = peer_id(proto::Role::gateway, 0);
  Roster old;
  if (before) old.members.push_back({.peer = gateway, .incarnation = 1, .state = *before});
  Roster fresh;
  fresh.members.push_back({.peer = gateway, .incarnation = incarnation, .state = now});
  return news_of(0, old, nullptr, fresh, nullptr);
}

TEST(DirectorNews, SaysEachStateOnce) {
  const auto told = news(MemberState::loading, MemberState::active);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].detail, "peer=gateway 0 state=ACTIVE");
  EXPECT_FALSE(told[0].warning);
  EXPECT_TRUE(news(MemberState::active, MemberState::active).empty());
  EXPECT_EQ(news(MemberState::active, MemberState::active, 2).size(), 1u) << "another run";
}

TEST(DirectorNews, WarnsOfTheLostUnlessTheyDrainedBefore) {
  EXPECT_TRUE(news(MemberState::active, MemberState::suspect).at(0).warning);
  EXPECT_TRUE(news(MemberState::active, MemberState::lost).at(0).warning);
  EXPECT_TRUE(news(std::nullopt, MemberState::lost).at(0).warning);
  EXPECT_TRUE(news(MemberState::draining, MemberState::lost, 2).at(0).warning);
  EXPECT_FALSE(news(MemberState::draining, MemberState::lost).at(0).warning);
}

}  // namespace
}  // namespace troupe::actors
