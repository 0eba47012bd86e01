// How a member stays in its cluster, on virtual time and without directors.
#include "actors/member/member_core.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;

constexpr PeerId kRouter = peer_id(proto::Role::router, 0);
constexpr PeerId kAttention = peer_id(proto::Role::attention, 0);
constexpr PeerId kExpert = peer_id(proto::Role::expert, 1);
constexpr std::uint64_t kTerm = (1 << 16) | 0;

struct MemberCoreTest : ::testing::Test {
  explicit MemberCoreTest(PeerId self = kRouter, std::size_t directors = 2) {
    MemberSettings settings;
    settings.who.peer = self;
    settings.who.incarnation = 7;
    settings.who.process = 70;
    settings.directors = directors;
    core.emplace(settings, 1, now);
  }
  template <class Wish>
  std::vector<Wish> tick() {
    std::vector<Wish> wishes;
    for (const auto& action : core->tick(sight, now))
      if (const auto* wish = std::get_if<Wish>(&action)) wishes.push_back(*wish);
    return wishes;
  }
  /// Lets time pass as the actor does: never past a due tick.
  template <class Wish>
  std::vector<Wish> pass(Clock::duration time) {
    std::vector<Wish> wishes;
    for (const auto end = now + time; now < end;) {
      now = std::clamp(core->next_due(), now + 1ms, end);
      for (auto& wish : tick<Wish>()) wishes.push_back(wish);
    }
    return wishes;
  }
  void welcome(std::size_t director = 0) {
    tick<NodeEvent>();
    core->connected(director, now);
    tick<NodeEvent>();
    core->answered(director, {}, now);
  }
  void follow(std::vector<RosterEntry> members, std::uint64_t version = 1,
              std::uint64_t term = kTerm) {
    core->on_roster({term, version, true, std::move(members)});
  }

  TimePoint now{1h};
  MemberSight sight;
  std::optional<MemberCore> core;
};

TEST_F(MemberCoreTest, CallsEveryDirectorAndAnnouncesItself) {
  EXPECT_EQ(tick<member::Connect>().size(), 2u);
  core->connected(1, now);
  const auto announced = tick<member::Announce>();
  ASSERT_EQ(announced.size(), 1u);
  EXPECT_EQ(announced[0].director, 1u);
  EXPECT_EQ(announced[0].words.incarnation, 7u);
  EXPECT_EQ(announced[0].words.state, MemberState::loading);
}

TEST_F(MemberCoreTest, CallsAgainForEverWithinASecond) {
  tick<member::Connect>();
  for (int i = 0; i < 20; ++i) {
    core->disconnected(0, "nobody", now);
    EXPECT_GE(pass<member::Connect>(1001ms).size(), 1u) << i;
  }
}

TEST_F(MemberCoreTest, BeatsSlowlyWhenIdleAndFastWithWork) {
  welcome();
  EXPECT_EQ(pass<member::SendBeat>(5s).size(), 10u);
  sight.load.oldest_work = now;
  pass<member::SendBeat>(500ms);
  const auto beats = pass<member::SendBeat>(1s);
  EXPECT_EQ(beats.size(), 10u);
  EXPECT_GE(beats.back().beat.oldest_work_us, 1'400'000u);
}

TEST_F(MemberCoreTest, FollowsTheHighestTerm) {
  welcome();
  follow({}, 5, kTerm);
  follow({{kExpert, 1, 2, MemberState::active}}, 1, (2 << 16) | 1);
  follow({}, 9, kTerm);
  EXPECT_EQ(core->term(), (2u << 16) | 1);
  EXPECT_EQ(core->roster().members.size(), 1u);
}

TEST_F(MemberCoreTest, MeetsWhomItOpensLinksTo) {
  welcome();
  core->set_state(MemberState::active, 1);
  follow({{kExpert, 1, 71, MemberState::active}, {kAttention, 2, 72, MemberState::active}});
  const auto met = tick<member::Meet>();
  ASSERT_EQ(met.size(), 1u);
  EXPECT_EQ(met[0].peer, kExpert);
  EXPECT_FALSE(met[0].in_process);
  EXPECT_TRUE(pass<member::Meet>(10s).empty()) << "one meeting at a time";
  core->met(kExpert, {Errc::ok, {}}, now);
  sight.joined[kExpert] = 1;
  EXPECT_TRUE(pass<member::Meet>(10s).empty()) << "it has joined";
}

TEST_F(MemberCoreTest, MeetsInTheProcessWithoutADirector) {
  welcome();
  core->set_state(MemberState::active, 1);
  follow({{kExpert, 1, 70, MemberState::active}});
  EXPECT_TRUE(tick<member::Meet>().at(0).in_process);
}

TEST_F(MemberCoreTest, MeetsAgainWhatWasLostOrCameBackAnew) {
  welcome();
  core->set_state(MemberState::active, 1);
  follow({{kExpert, 1, 71, MemberState::active}});
  tick<member::Meet>();
  core->met(kExpert, {Errc::ok, {}}, now);
  sight.joined[kExpert] = 1;
  pass<member::Meet>(1s);
  sight.joined.clear();
  EXPECT_EQ(pass<member::Meet>(600ms).size(), 1u);
  core->met(kExpert, {Errc::ok, {}}, now);
  sight.joined[kExpert] = 1;
  follow({{kExpert, 8, 79, MemberState::active}}, 2);
  EXPECT_EQ(pass<member::Meet>(600ms).size(), 1u);
}

TEST_F(MemberCoreTest, BacksOffWhereMeetingFails) {
  welcome();
  core->set_state(MemberState::active, 1);
  follow({{kExpert, 1, 71, MemberState::active}});
  int meetings = 0;
  for (const auto end = now + 10s; now < end;)
    for (std::size_t i = pass<member::Meet>(10ms).size(); i > 0; --i, ++meetings)
      core->met(kExpert, {Errc::unavailable, "no"}, now);
  EXPECT_GE(meetings, 10);
  EXPECT_LE(meetings, 16);
}

TEST_F(MemberCoreTest, MeetsOverTcpWhoseMemoryItMayNotOpenUntilThatIsAnotherLife) {
  welcome();
  core->set_state(MemberState::active, 1);
  follow({{kExpert, 1, 71, MemberState::active}});
  EXPECT_FALSE(tick<member::Meet>().at(0).over_tcp);
  core->met(kExpert, {Errc::unavailable, "not ready"}, now);
  EXPECT_FALSE(pass<member::Meet>(2s).at(0).over_tcp);
  core->met(kExpert, {Errc::io, "Shared memory error"}, now);
  EXPECT_TRUE(pass<member::Meet>(2s).at(0).over_tcp);
  core->met(kExpert, {Errc::ok, {}}, now);
  sight.joined[kExpert] = 1;
  pass<member::Meet>(1s);
  sight.joined.clear();
  EXPECT_TRUE(pass<member::Meet>(2s).at(0).over_tcp) << "the same life";
  core->met(kExpert, {Errc::unavailable, "gone"}, now);
  follow({{kExpert, 8, 79, MemberState::active}}, 2);
  EXPECT_FALSE(pass<member::Meet>(2s).at(0).over_tcp);
}

struct LinkedRouter : MemberCoreTest {
  LinkedRouter() {
    MemberSettings settings;
    settings.who.peer = kRouter;
    settings.who.expert_ranks = 2;
    settings.directors = 1;
    core.emplace(settings, 1, now);
  }
};

TEST_F(LinkedRouter, SaysAtOnceWhenItsLinksHaveComeOrGone) {
  core->set_state(MemberState::active, 1);
  welcome();
  follow({{peer_id(proto::Role::expert, 0), 1, 71, MemberState::active},
          {kExpert, 2, 72, MemberState::active}});
  EXPECT_EQ(tick<member::SendBeat>().at(0).beat.unlinked, peer_id(proto::Role::expert, 0));
  sight.joined = {{peer_id(proto::Role::expert, 0), 1}};
  EXPECT_TRUE(tick<member::SendBeat>().empty()) << "one of two is no news";
  sight.joined[kExpert] = 2;
  const auto linked = tick<member::SendBeat>();
  ASSERT_EQ(linked.size(), 1u) << "not only with the next beat";
  EXPECT_EQ(linked[0].beat.unlinked, 0u);
  sight.joined.erase(kExpert);
  const auto lost = tick<member::SendBeat>();
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].beat.unlinked, kExpert);
}

TEST_F(MemberCoreTest, DropsWhoIsLostOnce) {
  welcome();
  core->set_state(MemberState::active, 1);
  sight.joined[kExpert] = 1;
  sight.joined[kAttention] = 5;
  follow({{kExpert, 1, 71, MemberState::lost}, {kAttention, 4, 72, MemberState::lost}});
  const auto dropped = pass<member::Drop>(3s);
  ASSERT_EQ(dropped.size(), 1u) << "the other attention shard's life is newer than the roster";
  EXPECT_EQ(dropped[0].peer, kExpert);
}

TEST_F(MemberCoreTest, RejoinsWhenItWasEvicted) {
  welcome();
  core->evicted(6, now);  // an older life
  EXPECT_TRUE(tick<member::Rejoin>().empty());
  core->evicted(7, now);
  std::uint64_t incarnation = 0;
  bool announced = false;
  for (const auto& action : core->tick(sight, now)) {
    if (const auto* rejoin = std::get_if<member::Rejoin>(&action))
      incarnation = rejoin->incarnation;
    if (const auto* words = std::get_if<member::Announce>(&action))
      announced = words->words.incarnation == incarnation;
  }
  EXPECT_NE(incarnation, 0u);
  EXPECT_NE(incarnation, 7u);
  EXPECT_TRUE(announced);
}

TEST_F(MemberCoreTest, RejoinsWhenItWasFrozen) {
  welcome();
  pass<member::Rejoin>(2s);
  now = core->next_due() + 2999ms;  // a busy machine
  EXPECT_TRUE(tick<member::Rejoin>().empty());
  now = core->next_due() + 3000ms;
  EXPECT_EQ(tick<member::Rejoin>().size(), 1u);
}

TEST_F(MemberCoreTest, GivesUpWhenItIsRefusedForGood) {
  tick<member::Connect>();
  core->connected(0, now);
  tick<member::Announce>();
  core->answered(0, {Refusal::token, {Errc::unavailable, "wrong token"}, {}}, now);
  ASSERT_TRUE(core->fatal());
  EXPECT_EQ(core->fatal()->detail, "wrong token");
  EXPECT_EQ(tick<NodeEvent>().at(0).name, "member_refused");
  EXPECT_TRUE(pass<member::Announce>(10s).empty());
}

TEST_F(MemberCoreTest, GivesUpWhenTheDoorIsShutForGood) {
  tick<member::Connect>();
  core->turned_away(0, Refusal::token, {Errc::unavailable, "wrong token"}, now);
  ASSERT_TRUE(core->fatal());
  EXPECT_EQ(core->fatal()->detail, "wrong token");
  EXPECT_EQ(tick<NodeEvent>().at(0).name, "member_refused");
}

TEST_F(MemberCoreTest, KnocksAgainWhereARouterIsFull) {
  tick<member::Connect>();
  int said = 0;
  for (int i = 0; i < 5; ++i) {
    core->turned_away(0, Refusal::full, {Errc::overloaded, "full"}, now);
    EXPECT_FALSE(core->fatal());
    int calls = 0;
    for (const auto end = now + 1001ms; now < end;) {
      now = std::clamp(core->next_due(), now + 1ms, end);
      for (const auto& action : core->tick(sight, now)) {
        const auto* call = std::get_if<member::Connect>(&action);
        calls += call != nullptr && call->director == 0;
        const auto* event = std::get_if<NodeEvent>(&action);
        said += event != nullptr && event->name == "member_refused";
        EXPECT_FALSE(std::holds_alternative<member::Announce>(action)) << "it is not connected";
      }
    }
    EXPECT_EQ(calls, 1);
  }
  EXPECT_EQ(said, 1);
}

TEST_F(MemberCoreTest, KeepsAskingForATakenRankForTwoLosses) {
  tick<member::Connect>();
  core->connected(0, now);
  const AnnounceReply taken{Refusal::rank_taken, {Errc::unavailable, "expert 1 is alive"}, {}};
  const auto began = now;
  int told = 0;
  while (!core->fatal() && now - began < 20s) {
    for (const auto& action : core->tick(sight, now)) {
      if (std::holds_alternative<member::Announce>(action)) core->answered(0, taken, now);
      told += std::holds_alternative<NodeEvent>(action);
    }
    now = std::max(now + 1ms, core->next_due());
  }
  EXPECT_GE(now - began, 6s);
  EXPECT_LE(now - began, 8s);
  EXPECT_EQ(told, 1) << "one line, not one each time";
}

struct OwnRouterOnly : MemberCoreTest {
  OwnRouterOnly() : MemberCoreTest(kAttention) {
    MemberSettings settings;
    settings.who.peer = kAttention;
    settings.directors = 2;
    settings.own_router_only = true;
    core.emplace(settings, 1, now);
  }
};

TEST_F(OwnRouterOnly, IsMetByAShardThatHasOne) {
  welcome();
  core->set_state(MemberState::active, 1);
  follow({{kRouter, 1, 0, MemberState::active},
          {peer_id(proto::Role::router, 1), 2, 72, MemberState::active}});
  const auto met = tick<member::Meet>();
  ASSERT_EQ(met.size(), 1u);
  EXPECT_EQ(met[0].peer, kRouter);
}

struct ExpertCoreTest : MemberCoreTest {
  ExpertCoreTest() : MemberCoreTest(kExpert) {}
};

TEST_F(ExpertCoreTest, AsksARouterWhoseLinkIsMissingToLinkAgain) {
  core->set_state(MemberState::active, 1);
  welcome();
  const RosterEntry router{kRouter, 5, 50, MemberState::active};
  follow({router});
  sight.joined[kRouter] = 5;
  EXPECT_TRUE(pass<member::Summon>(5s).empty());
  sight.joined.clear();  // lost here; the router does not know
  const auto summons = pass<member::Summon>(4s);
  ASSERT_GE(summons.size(), 2u);  // again and again
  EXPECT_EQ(summons[0].peer, kRouter);
  sight.joined[kRouter] = 5;
  EXPECT_TRUE(pass<member::Summon>(5s).empty());
  sight.joined.clear();
  follow({{kRouter, 5, 50, MemberState::lost}}, 2);
  EXPECT_TRUE(pass<member::Summon>(5s).empty()) << "of one that is gone nobody wants a link";
}

}  // namespace
}  // namespace troupe::actors
