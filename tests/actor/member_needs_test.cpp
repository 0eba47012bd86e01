// What each role lacks, by name: from rosters, links and meetings, on virtual time.
#include "actors/member/member_needs.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;
using proto::Role;

constexpr PeerId kGateway = peer_id(Role::gateway, 0);
constexpr PeerId kAttention = peer_id(Role::attention, 0);
constexpr PeerId kRouter = peer_id(Role::router, 0);
constexpr PeerId kExpert0 = peer_id(Role::expert, 0);
constexpr PeerId kExpert1 = peer_id(Role::expert, 1);

struct Needs : ::testing::Test {
  explicit Needs(MemberNeeds::Place place = {kGateway, 0, false}) : needs(place) {}

  /// All of a small cluster, in these states; `serving` when nothing is said against it.
  void follow(std::map<PeerId, MemberState> states, bool serving, std::uint64_t term = 1 << 16) {
    Roster roster{term, ++version, serving, {}};
    for (const auto& [peer, state] : states) roster.members.push_back({peer, 1, 1, state, 0});
    needs.follow(roster, now);
  }
  std::map<PeerId, MemberState> all_active() const {
    return {{kAttention, MemberState::active},
            {kRouter, MemberState::active},
            {kExpert0, MemberState::active},
            {kExpert1, MemberState::active}};
  }
  std::string text() const { return text_of(needs.all(joined, std::nullopt, now), now); }

  TimePoint now{1h};
  std::uint64_t version = 0;
  RolePulse::Joined joined;
  MemberNeeds needs;
};

TEST_F(Needs, AGatewayLacksNothingInAWholeCluster) {
  needs.place(2);
  follow(all_active(), true);
  joined[kAttention] = 1;
  EXPECT_EQ(text(), "");
}

TEST_F(Needs, AGatewayNamesTheLostAndSinceWhen) {
  needs.place(2);
  joined[kAttention] = 1;
  follow(all_active(), true);
  auto states = all_active();
  states[kExpert1] = MemberState::lost;
  follow(states, false);
  now += 3100ms;
  follow(states, false);  // other news do not begin it anew
  EXPECT_EQ(text(), "expert 1 is LOST since 3.1 s");
  states.erase(kExpert1);  // forgotten by its director
  follow(states, false);
  now += 1s;
  EXPECT_EQ(text(), "expert 1 is LOST since 4.1 s");
  states[kExpert1] = MemberState::loading;
  follow(states, false);
  EXPECT_EQ(text(), "expert 1 is LOADING since 0.0 s");
}

TEST_F(Needs, KnowSinceWhenTheClusterHasNotServed) {
  auto states = all_active();
  states[kExpert1] = MemberState::loading;
  follow(states, false);
  EXPECT_EQ(needs.unserved_since(), std::nullopt);  // it never has
  follow(all_active(), true);
  EXPECT_EQ(needs.unserved_since(), std::nullopt);
  states[kExpert1] = MemberState::lost;
  const auto lost_at = now += 1s;
  follow(states, false);
  now += 1s;
  states[kExpert1] = MemberState::loading;  // it comes back
  follow(states, false);
  EXPECT_EQ(needs.unserved_since(), lost_at);
  follow(all_active(), true);
  EXPECT_EQ(needs.unserved_since(), std::nullopt);
}

TEST_F(Needs, AGatewayNamesEverybodyWhoIsMissing) {
  needs.place(3);
  auto states = all_active();
  states[kAttention] = MemberState::draining;
  states[kExpert0] = MemberState::suspect;  // it may serve
  follow(states, false);
  joined[kAttention] = 1;
  EXPECT_EQ(text(), "expert 2 has not joined; attention 0 is DRAINING since 0.0 s");
  for (const Lack& lack : needs.all(joined, std::nullopt, now))
    EXPECT_EQ(lack.leaves, lack.peer == kAttention) << name_of(lack) << ": who waits for whom";
}

TEST_F(Needs, AGatewayNamesARouterWithoutItsLinks) {
  needs.place(2);
  joined[kAttention] = 1;
  Roster roster{1 << 16, 1, false, {}};
  for (const auto& [peer, state] : all_active())
    roster.members.push_back({peer, 1, 1, state, peer == kRouter ? kExpert1 : 0});
  needs.follow(roster, now);
  EXPECT_EQ(text(), "router 0 has no link to expert 1 since 0.0 s");
}

TEST_F(Needs, AGatewayNamesTheRouterThatDirectsAnew) {
  needs.place(2);
  joined[kAttention] = 1;
  follow(all_active(), true);
  follow({{kRouter, MemberState::active},
          {kAttention, MemberState::active},
          {kExpert0, MemberState::active}},
         false, 2 << 16);
  now += 500ms;
  EXPECT_EQ(text(),
            "router 0 directs the cluster anew since 0.5 s; expert 1 is not back in the cluster "
            "since 0.5 s");
}

TEST_F(Needs, AGatewayBeforeTheFirstPlacementIsInNoCluster) {
  follow({{kRouter, MemberState::active}}, false);
  const auto lacks = needs.all(joined, std::nullopt, now);
  ASSERT_EQ(lacks.size(), 2u);
  EXPECT_EQ(name_of(lacks[0]), "placement");
  EXPECT_EQ(name_of(lacks[1]), "link");
  EXPECT_EQ(reason_of(lacks[1], now), "no attention shard has joined the cluster");
}

TEST_F(Needs, AGatewayGoesOnWithoutADirectorOthersSayWhichIsAway) {
  needs.place(2);
  follow(all_active(), true);
  joined[kAttention] = 1;
  const Lack away{Lack::Kind::admission, kRouter, "cannot be reached", now};
  EXPECT_TRUE(needs.all(joined, away, now).empty());
  MemberNeeds expert({kExpert0, 2, false});
  expert.place(2);
  joined = {{kRouter, 1}};
  EXPECT_EQ(text_of(expert.all(joined, away, now), now + 2s),
            "router 0 cannot be reached since 2.0 s");
}

struct RouterNeeds : Needs {
  RouterNeeds() : Needs({kRouter, 3, false}) { needs.place(3); }
};

TEST_F(RouterNeeds, ARouterNeedsALinkToEveryRank) {
  auto states = all_active();
  states[kExpert1] = MemberState::lost;
  follow(states, false);
  joined[kAttention] = 1;
  auto lacks = needs.links(joined);
  ASSERT_EQ(lacks.size(), 3u);
  EXPECT_EQ(name_of(lacks[0]), "link to expert 0");
  EXPECT_EQ(reason_of(lacks[0], now), "it is there, not linked yet");
  EXPECT_EQ(name_of(lacks[1]), "link to expert 1");
  EXPECT_EQ(reason_of(lacks[1], now + 2s), "it is LOST since 2.0 s");
  EXPECT_EQ(reason_of(lacks[2], now), "it has not joined");
  needs.met(kExpert0, "Shared memory error");
  EXPECT_EQ(reason_of(needs.links(joined)[0], now),
            "it is there, but cannot be linked: Shared memory error");
  needs.met(kExpert0, "");
  joined = {{kExpert0, 1}, {kExpert1, 1}, {peer_id(Role::expert, 2), 1}};
  EXPECT_TRUE(needs.links(joined).empty());
}

TEST(AttentionNeeds, OneRouterIsEnoughUnlessItHasItsOwn) {
  const TimePoint now{1h};
  const auto other = peer_id(Role::router, 1);
  MemberNeeds needs({kAttention, 2, false});
  needs.follow({1 << 16,
                1,
                true,
                {{kRouter, 1, 1, MemberState::active}, {other, 2, 2, MemberState::active}}},
               now);
  EXPECT_EQ(needs.links({}).size(), 2u);
  EXPECT_TRUE(needs.links({{other, 2}}).empty());
  EXPECT_EQ(needs.links({{kGateway, 2}}).size(), 2u) << "a gateway's link helps nobody";
  MemberNeeds own({kAttention, 2, true});
  ASSERT_EQ(own.links({{other, 2}}).size(), 1u);
  EXPECT_EQ(name_of(own.links({})[0]), "link to router 0");
  EXPECT_TRUE(own.links({{kRouter, 1}}).empty());
}

}  // namespace
}  // namespace troupe::actors
