// The director's rules on virtual time: who is let in, when somebody is LOST, when it serves.
#include <gtest/gtest.h>

#include "tests/support/announcements.hpp"

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;
using proto::Role;
using testing::announcement;
using testing::beat_of;
using testing::director_settings;
using testing::small_config;

/// A director and the members that talk to it, each of which beats unless told not to.
struct DirectorRules : ::testing::Test {
  explicit DirectorRules(DirectorSettings settings = director_settings(2))
      : core(small_config(), settings, now) {}

  AnnounceReply join(Role role, std::uint32_t index, std::uint64_t life) {
    return join(announcement(role, index, life, core.settings().expert_ranks));
  }
  AnnounceReply join(const Announcement& says) {
    auto reply = core.announce(says, now);
    if (reply.refusal == Refusal::none) beating[says.peer] = beat_of(says);
    return reply;
  }
  void join_all() {
    join(Role::expert, 0, 10);
    join(Role::expert, 1, 11);
    join(Role::router, 0, 12);
    join(Role::attention, 0, 13);
  }
  /// Everybody in `beating` beats every 100 ms, the director ticks.
  void pass(std::chrono::milliseconds time) {
    for (const auto end = now + time; now < end;) {
      now += 100ms;
      for (const auto& [peer, beat] : beating) core.beat(beat, now);
      core.tick(now);
    }
  }
  MemberState state(Role role, std::uint32_t index) const {
    for (const auto& member : core.report(now).members)
      if (member.entry.peer == peer_id(role, index)) return member.entry.state;
    ADD_FAILURE() << "no such member";
    return MemberState::loading;
  }
  void expect_refused(const Announcement& says, Refusal refusal, Errc code,
                      const std::vector<std::string>& words) {
    const auto reply = core.announce(says, now);
    EXPECT_EQ(reply.refusal, refusal) << to_string(reply.refusal);
    EXPECT_EQ(reply.error.code, code);
    EXPECT_TRUE(reply.roster.members.empty());
    for (const auto& word : words)
      EXPECT_NE(reply.error.detail.find(word), std::string::npos) << reply.error.detail;
  }

  TimePoint now = TimePoint{} + 1h;
  DirectorCore core;
  std::map<PeerId, Beat> beating;
};

const PeerId kExpert0 = peer_id(Role::expert, 0);

TEST_F(DirectorRules, TheOnlyRoutersDirectorIsActiveAtOnce) {
  EXPECT_EQ(core.term(), 1u << 16);
  EXPECT_FALSE(core.roster().serving);
  EXPECT_EQ(core.placement(), nullptr);
}

TEST_F(DirectorRules, ServesWhenAllRanksARouterAndAnAttentionShardAreActive) {
  for (const auto& [role, index] :
       {std::pair{Role::expert, 0}, {Role::router, 0}, {Role::attention, 0}, {Role::gateway, 0}}) {
    EXPECT_EQ(join(role, index, 1).refusal, Refusal::none);
    EXPECT_FALSE(core.roster().serving);
  }
  auto last = announcement(Role::expert, 1, 9, 2);
  last.state = MemberState::loading;
  const auto reply = join(last);
  EXPECT_EQ(reply.roster.members.size(), 5u);
  EXPECT_EQ(core.placement(), nullptr);
  auto loaded = beat_of(last);
  loaded.state = MemberState::active;
  EXPECT_EQ(core.beat(loaded, now), BeatVerdict::heard);
  EXPECT_TRUE(core.roster().serving);
  ASSERT_NE(core.placement(), nullptr);
  EXPECT_EQ(core.placement()->placement.term, core.term());
  EXPECT_EQ(core.placement()->placement.epoch, 1u);
  EXPECT_EQ(core.placement()->placement.of(1, 3)[0], 0);
  EXPECT_EQ(core.placement()->placement.of(2, 4)[0], 1);
}

TEST_F(DirectorRules, ARosterVersionStandsForOneContent) {
  join_all();
  const auto version = core.roster().version;
  pass(2s);
  EXPECT_EQ(core.roster().version, version);
  core.connection_lost(kExpert0, 10, now);
  EXPECT_GT(core.roster().version, version);
}

TEST_F(DirectorRules, AWrongTokenIsAllThatIsSaid) {
  auto says = announcement(Role::expert, 7, 1, 9);
  says.cluster_id = says.numerics_id = 1;
  for (const std::size_t byte : {0u, 31u}) {
    says.join_token = testing::test_token();
    says.join_token[byte] ^= std::byte{1};
    expect_refused(says, Refusal::token, Errc::unavailable, {"same one"});
  }
  EXPECT_EQ(core.announce(says, now).error.detail.find("expert"), std::string::npos);
}

TEST_F(DirectorRules, AnotherClusterIsNamedWithOurs) {
  auto says = announcement(Role::expert, 0, 1, 2);
  says.cluster_id = 0xabc;
  expect_refused(says, Refusal::cluster, Errc::unavailable,
                 {"0000000000000abc", "00000000000000c1", "cluster.name"});
}

TEST_F(DirectorRules, VersionsThatDoNotMeetAreBothNamed) {
  auto says = announcement(Role::expert, 0, 1, 2);
  says.protocol_oldest = 98;
  says.protocol_newest = 99;
  expect_refused(says, Refusal::version, Errc::unsupported, {"98", "99", "1"});
  says.protocol_oldest = 1;  // it still understands ours
  EXPECT_EQ(core.announce(says, now).refusal, Refusal::none);
}

TEST_F(DirectorRules, AnotherNumericsIdIsNamedWithOurs) {
  auto says = announcement(Role::expert, 0, 1, 2);
  says.numerics_id = 0x78;
  expect_refused(says, Refusal::numerics, Errc::unsupported,
                 {"0000000000000078", "0000000000000077", "same model"});
}

TEST_F(DirectorRules, RanksThatDoNotFitAreNamedWithOurs) {
  expect_refused(announcement(Role::expert, 0, 1, 3), Refusal::ranks, Errc::invalid_argument,
                 {"3 expert ranks", "for 2", "expert.ranks"});
  expect_refused(announcement(Role::expert, 2, 1, 2), Refusal::ranks, Errc::invalid_argument,
                 {"expert 2", "of 2", "expert.rank"});
  auto other_model = announcement(Role::expert, 1, 1, 2);
  other_model.experts = {3, 6};
  expect_refused(other_model, Refusal::ranks, Errc::invalid_argument, {"[3, 6)", "[4, 8)"});
  expect_refused(announcement(Role::router, 1, 1, 2), Refusal::ranks, Errc::invalid_argument,
                 {"router 1", "1 routers", "cluster.routers"});
}

TEST_F(DirectorRules, WhatIsNoAnnouncementIsRefused) {
  auto says = announcement(Role::expert, 0, 0, 2);  // no incarnation
  expect_refused(says, Refusal::malformed, Errc::malformed, {});
  says = announcement(Role::expert, 0, 1, 2);
  says.peer = PeerId{9} << 32;
  expect_refused(says, Refusal::malformed, Errc::malformed, {});
  says = announcement(Role::expert, 0, 1, 2);
  says.state = MemberState::lost;
  expect_refused(says, Refusal::malformed, Errc::malformed, {});
}

TEST_F(DirectorRules, ALiveRankIsNotGivenAway) {
  join_all();
  expect_refused(announcement(Role::expert, 0, 20, 2), Refusal::rank_taken, Errc::unavailable,
                 {"expert 0", "host20", "host10", "process 10"});
  pass(1s);
  EXPECT_EQ(core.live_incarnation(kExpert0), 10u);
}

TEST_F(DirectorRules, ARestartedRankGetsItsRangeBack) {
  join_all();
  const auto placement = core.placement();
  core.connection_lost(kExpert0, 10, now);
  beating.erase(kExpert0);
  EXPECT_FALSE(core.roster().serving);
  EXPECT_EQ(state(Role::expert, 0), MemberState::lost);
  EXPECT_EQ(join(Role::expert, 0, 20).refusal, Refusal::none);
  EXPECT_TRUE(core.roster().serving);
  EXPECT_EQ(core.placement(), placement);   // nothing has moved
  core.connection_lost(kExpert0, 10, now);  // news of the old life
  EXPECT_TRUE(core.roster().serving);
}

TEST_F(DirectorRules, TheSameProcessMayStartANewLifeAtAnyTime) {
  join_all();
  auto again = announcement(Role::expert, 0, 10, 2);
  again.incarnation = 21;
  EXPECT_EQ(join(again).refusal, Refusal::none);
  EXPECT_EQ(core.live_incarnation(kExpert0), 21u);
}

TEST_F(DirectorRules, AClosedConnectionMayComeBackInTime) {
  join_all();
  core.connection_lost(kExpert0, 10, now);
  const auto beat = std::exchange(beating, {})[kExpert0];
  pass(1s);
  EXPECT_EQ(join(Role::expert, 0, 10).refusal, Refusal::none);
  EXPECT_EQ(state(Role::expert, 0), MemberState::active);
  core.connection_lost(kExpert0, 10, now);
  EXPECT_EQ(core.beat(beat, now), BeatVerdict::heard);  // before it announces again
  EXPECT_EQ(state(Role::expert, 0), MemberState::active);
  core.connection_lost(kExpert0, 10, now);
  beating.erase(kExpert0);
  pass(4s);
  expect_refused(announcement(Role::expert, 0, 10, 2), Refusal::evicted, Errc::stale,
                 {"new incarnation"});
}

TEST_F(DirectorRules, SilenceMakesSuspectThenLostAndWhoSpeaksAgainIsEvicted) {
  join_all();
  const auto silent = beating[kExpert0];
  beating.erase(kExpert0);
  pass(1500ms);
  EXPECT_EQ(state(Role::expert, 0), MemberState::active);
  pass(100ms);
  EXPECT_EQ(state(Role::expert, 0), MemberState::suspect);
  EXPECT_TRUE(core.roster().serving);
  pass(1400ms);
  EXPECT_EQ(state(Role::expert, 0), MemberState::suspect);
  pass(100ms);
  EXPECT_EQ(state(Role::expert, 0), MemberState::lost);
  EXPECT_FALSE(core.roster().serving);
  EXPECT_EQ(core.beat(silent, now), BeatVerdict::evicted);
  EXPECT_EQ(core.beat(silent, now), BeatVerdict::evicted);
  expect_refused(announcement(Role::expert, 0, 10, 2), Refusal::evicted, Errc::stale, {});
  EXPECT_EQ(join(Role::expert, 0, 22).refusal, Refusal::none);
  EXPECT_TRUE(core.roster().serving);
  EXPECT_EQ(core.beat(silent, now), BeatVerdict::evicted);  // another life has its place
}

TEST_F(DirectorRules, OneBeatEndsASuspicion) {
  join_all();
  const auto silent = beating[kExpert0];
  beating.erase(kExpert0);
  pass(2s);
  EXPECT_EQ(state(Role::expert, 0), MemberState::suspect);
  EXPECT_EQ(core.beat(silent, now), BeatVerdict::heard);
  EXPECT_EQ(state(Role::expert, 0), MemberState::active);
}

TEST_F(DirectorRules, OldWorkWithFrozenProgressIsSuspect) {
  join_all();
  auto& beat = beating[kExpert0];
  beat.progress = 5;
  pass(5s);
  EXPECT_EQ(state(Role::expert, 0), MemberState::active);  // idle: nothing has to move
  beat.oldest_work_us = 2'000'000;
  pass(100ms);
  EXPECT_EQ(state(Role::expert, 0), MemberState::suspect);
  ++beat.progress;
  pass(100ms);
  EXPECT_EQ(state(Role::expert, 0), MemberState::active);
  beat.oldest_work_us = 1'000'000;  // young
  pass(5s);
  EXPECT_EQ(state(Role::expert, 0), MemberState::active);
}

TEST_F(DirectorRules, DrainingMembersDoNotServe) {
  join_all();
  beating[peer_id(Role::attention, 0)].state = MemberState::draining;
  pass(100ms);
  EXPECT_EQ(state(Role::attention, 0), MemberState::draining);
  EXPECT_FALSE(core.roster().serving);
}

TEST_F(DirectorRules, ServesOnlyWhileARouterAndAnAttentionShardAreLinked) {
  join_all();
  EXPECT_TRUE(core.roster().serving);
  for (const auto role : {Role::router, Role::attention}) {
    beating[peer_id(role, 0)].unlinked = kExpert0;
    pass(100ms);
    EXPECT_FALSE(core.roster().serving) << to_string(role);
    ASSERT_NE(core.placement(), nullptr) << "what experts hold does not depend on links";
    beating[peer_id(role, 0)].unlinked = 0;
    pass(100ms);
    EXPECT_TRUE(core.roster().serving) << to_string(role);
  }
  beating[kExpert0].unlinked = peer_id(Role::router, 0);  // others open links to it
  pass(100ms);
  EXPECT_TRUE(core.roster().serving);
  for (const auto& entry : core.roster().members)
    EXPECT_EQ(entry.unlinked, entry.peer == kExpert0 ? peer_id(Role::router, 0) : 0);
}

TEST_F(DirectorRules, ADirectorThatStoodStillAccusesNobody) {
  join_all();
  pass(1s);
  now += 10s;  // SIGSTOP: no tick, no beat was read
  core.tick(now);
  EXPECT_TRUE(core.roster().serving);
  EXPECT_EQ(state(Role::expert, 0), MemberState::active);
  beating.erase(kExpert0);
  pass(3100ms);
  EXPECT_EQ(state(Role::expert, 0), MemberState::lost);
}

TEST_F(DirectorRules, TheLostAreForgottenAfterAMinute) {
  join_all();
  core.connection_lost(kExpert0, 10, now);
  const auto silent = std::exchange(
      beating, {{peer_id(Role::router, 0), beating[peer_id(Role::router, 0)]}})[kExpert0];
  pass(60s);
  EXPECT_EQ(core.report(now).members.size(), 4u);
  pass(200ms);
  EXPECT_EQ(core.report(now).members.size(), 3u);
  EXPECT_EQ(core.beat(silent, now), BeatVerdict::unknown);
  EXPECT_EQ(join(Role::expert, 0, 10).refusal, Refusal::none);
}

struct SmallTable : DirectorRules {
  static DirectorSettings settings() {
    auto settings = director_settings(1);
    settings.members_max = 3;
    return settings;
  }
  SmallTable() : DirectorRules(settings()) {}
};

TEST_F(SmallTable, RefusesMoreMembersThanItsBoundButGivesUpTheLostFirst) {
  for (std::uint32_t i = 0; i < 3; ++i) join(Role::gateway, i, i + 1);
  expect_refused(announcement(Role::gateway, 3, 9, 1), Refusal::full, Errc::overloaded, {"3"});
  EXPECT_EQ(join(Role::gateway, 1, 2).refusal, Refusal::none);  // who is in may come again
  core.connection_lost(peer_id(Role::gateway, 0), 1, now);
  now += 1s;
  core.connection_lost(peer_id(Role::gateway, 2), 3, now);
  EXPECT_EQ(join(Role::gateway, 3, 9).refusal, Refusal::none);
  EXPECT_FALSE(core.knows(peer_id(Role::gateway, 0), 1));  // lost for longest
  EXPECT_TRUE(core.knows(peer_id(Role::gateway, 2), 3));
}

TEST_F(DirectorRules, AMemberOfAnEarlierLifeOfTheDirectorLiftsTheTerm) {
  join(Role::gateway, 0, 5);
  auto old = announcement(Role::expert, 0, 10, 2);
  old.term_seen = core.term();  // given by the director that was here before
  EXPECT_EQ(join(old).roster.term, 2u << 16);
  old.term_seen = 7u << 16;
  old.process = 99;
  core.connection_lost(kExpert0, 10, now);
  EXPECT_EQ(join(old).roster.term, 8u << 16);
  old.term_seen = core.term();  // a life this director knows
  EXPECT_EQ(join(old).roster.term, 8u << 16);
}

TEST_F(DirectorRules, ALiftedTermTakesThePlacementAlong) {
  join_all();
  auto next = core.placement()->placement;
  join(Role::gateway, 0, 5);
  auto all = announcement(Role::expert, 1, 31, 2);
  all.experts = {0, 8};
  core.connection_lost(peer_id(Role::expert, 1), 11, now);
  join(all);
  for (auto& replicas : next.replicas) replicas = {1};
  ASSERT_TRUE(core.publish(next));
  EXPECT_EQ(core.placement()->placement.epoch, 2u);
  auto old = announcement(Role::gateway, 1, 40, 2);
  old.term_seen = 3u << 16;
  join(old);
  EXPECT_EQ(core.placement()->placement.term, 4u << 16);
  EXPECT_EQ(core.placement()->placement.epoch, 1u);
  EXPECT_EQ(core.placement()->placement.of(1, 0)[0], 1);
}

TEST_F(DirectorRules, ATermPastAnyCountIsNotBelieved) {
  auto says = announcement(Role::expert, 0, 10, 2);
  says.term_seen = ~std::uint64_t{0};
  EXPECT_EQ(join(says).roster.term, 1u << 16);
}

TEST_F(DirectorRules, PublishesEpochsOnlyOfWhatIsHeld) {
  EXPECT_EQ(core.publish({}).error().code, Errc::unavailable);
  join(Role::expert, 0, 10);
  auto all = announcement(Role::expert, 1, 11, 2);
  all.experts = {0, 8};
  join(all);
  join(Role::router, 0, 12);
  join(Role::attention, 0, 13);
  auto next = core.placement()->placement;
  for (auto& replicas : next.replicas) replicas = {1};
  const auto second = core.publish(next);
  ASSERT_TRUE(second) << second.error().detail;
  EXPECT_EQ((*second)->placement.epoch, 2u);
  for (const auto& wrong : {std::vector<model::ShardIndex>{0}, {2}, {-1}, {}}) {
    next.replicas.back() = wrong;  // the last expert is not there
    EXPECT_EQ(core.publish(next).error().code, Errc::invalid_argument);
  }
  next.replicas.pop_back();
  EXPECT_EQ(core.publish(next).error().code, Errc::invalid_argument);
  EXPECT_EQ(core.placement(), *second);
}

TEST_F(DirectorRules, QuantisedRowsAreSentWhenEveryShardWantsThem) {
  auto first = announcement(Role::expert, 0, 10, 2);
  auto second = announcement(Role::expert, 1, 11, 2);
  first.wants_quantised_rows = second.wants_quantised_rows = true;
  join(first);
  join(second);
  join(Role::router, 0, 12);
  join(Role::attention, 0, 13);
  EXPECT_TRUE(core.placement()->quantised_rows);
}

TEST_F(DirectorRules, TheReportSaysWhatIsKnown) {
  join_all();
  auto& beat = beating[kExpert0];
  beat.queued_rows = 5;
  pass(1s);
  now += 50ms;
  const auto report = core.report(now);
  EXPECT_EQ(report.term, core.term());
  EXPECT_EQ(report.epoch, 1u);
  EXPECT_TRUE(report.serving);
  EXPECT_EQ(report.numerics_id, testing::kNumerics);
  EXPECT_EQ(report.expert_ranks, 2u);
  ASSERT_EQ(report.members.size(), 4u);
  const auto& expert = report.members[2];  // attention, router, experts
  EXPECT_EQ(expert.entry.peer, kExpert0);
  EXPECT_EQ(expert.last_beat.queued_rows, 5u);
  EXPECT_EQ(expert.silent, 50ms);
  EXPECT_EQ(expert.experts.last, 4);
  EXPECT_EQ(expert.host, "host10");
  EXPECT_EQ(expert.pid, 10);
}

}  // namespace
}  // namespace troupe::actors
