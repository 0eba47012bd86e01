// Directors of several routers on virtual time: who becomes active, who gives way, who comes back.
#include <gtest/gtest.h>

#include <optional>

#include "tests/support/announcements.hpp"

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;
using proto::Role;
using testing::announcement;
using testing::beat_of;
using testing::director_settings;
using testing::small_config;

/// Routers whose directors hear of each other, and one each of the other members.
struct Routers : ::testing::Test {
  struct Router {
    std::optional<DirectorCore> core;
    std::uint64_t life = 0;
    bool frozen = false;
  };

  void boot(std::size_t count) {
    routers.resize(count);
    for (std::uint32_t i = 0; i < count; ++i) start(i);
  }
  void start(std::uint32_t index) {
    auto& router = routers[index];
    router.core.emplace(small_config(),
                        director_settings(1, static_cast<std::uint32_t>(routers.size()), index),
                        now);
    router.life = ++lives;
  }
  void kill(std::uint32_t index) {
    auto& router = routers[index];
    router.core.reset();
    for (auto& other : routers)
      if (other.core) other.core->connection_lost(peer_id(Role::router, index), router.life, now);
  }
  /// Whether routers a and b hear each other.
  void cut(bool is_cut) {
    partitioned = is_cut;
    if (!is_cut) return;
    for (std::uint32_t i = 0; i < routers.size(); ++i)
      for (std::uint32_t j = 0; j < routers.size(); ++j)
        if (i != j)
          routers[i].core->connection_lost(peer_id(Role::router, j), routers[j].life, now);
  }

  /// 100 ms each: everyone announces itself where it is not known and beats everywhere.
  void pass(std::chrono::milliseconds time) {
    for (const auto end = now + time; now < end;) {
      now += 100ms;
      for (auto& router : routers)
        if (router.core && !router.frozen) speak_to(router);
      for (auto& router : routers)
        if (router.core && !router.frozen) router.core->tick(now);
      std::size_t active = 0;
      for (const auto& router : routers)
        active += router.core && !router.frozen && router.core->active() ? 1 : 0;
      most_active = std::max(most_active, active);
    }
  }
  void speak_to(Router& router) {
    for (std::uint32_t i = 0; i < routers.size(); ++i) {
      const auto& other = routers[i];
      if (!other.core || other.frozen) continue;
      if (partitioned && &other != &router) continue;
      speak(*router.core, announcement(Role::router, i, other.life, 1), other.core->term());
    }
    for (const auto role : {Role::expert, Role::attention}) {
      auto& seen = term_seen[role];
      auto says = announcement(role, 0, 1000 + static_cast<std::uint64_t>(role), 1);
      says.term_seen = seen;
      speak(*router.core, says, 0);
      const auto& roster = router.core->roster();
      if (roster.term >= seen && roster.term != 0) {
        seen = roster.term;
        serving[role] = roster.serving;
      }
    }
  }
  void speak(DirectorCore& core, const Announcement& says, std::uint64_t claim) {
    auto beat = beat_of(says);
    beat.director_term = claim;
    beat.term_seen = says.term_seen;
    if (!core.knows(says.peer, says.incarnation)) core.announce(says, now);
    core.beat(beat, now);
  }
  std::uint64_t term(std::uint32_t index) const { return routers[index].core->term(); }

  TimePoint now = TimePoint{} + 1h;
  std::vector<Router> routers;
  std::uint64_t lives = 0;
  bool partitioned = false;
  std::map<Role, std::uint64_t> term_seen;
  std::map<Role, bool> serving;
  std::size_t most_active = 0;
};

TEST_F(Routers, TheLowestBecomesActiveOnceAllAreHeard) {
  boot(2);
  pass(500ms);
  EXPECT_EQ(term(0), 1u << 16);
  EXPECT_EQ(term(1), 0u);
  EXPECT_EQ(most_active, 1u);
  EXPECT_TRUE(serving[Role::attention]);
  EXPECT_TRUE(routers[1].core->roster().members.empty());
}

TEST_F(Routers, OneOfTwoWaitsForTheOtherThroughTheGrace) {
  boot(2);
  kill(0);
  pass(2900ms);
  EXPECT_EQ(term(1), 0u);
  pass(200ms);
  EXPECT_EQ(term(1), (1u << 16) | 1);
}

TEST_F(Routers, WhenTheActiveOneDiesTheOtherTakesOverAtOnceAndKeepsIt) {
  boot(2);
  pass(1s);
  kill(0);
  pass(100ms);
  EXPECT_EQ(term(1), (2u << 16) | 1);
  EXPECT_EQ(term_seen[Role::expert], (2u << 16) | 1);
  EXPECT_TRUE(serving[Role::expert]);
  pass(1s);
  start(0);
  pass(10s);
  EXPECT_EQ(term(0), 0u);
  EXPECT_EQ(term(1), (2u << 16) | 1);
  EXPECT_EQ(most_active, 1u);
  kill(1);
  pass(200ms);
  EXPECT_EQ(term(0), 3u << 16);
  EXPECT_TRUE(serving[Role::expert]);
}

TEST_F(Routers, AFrozenOneIsReplacedAfterLostAfterAndGivesWayWhenAwake) {
  boot(2);
  pass(1s);
  routers[0].frozen = true;
  pass(2900ms);
  EXPECT_EQ(term(1), 0u);
  pass(300ms);
  EXPECT_EQ(term(1), (2u << 16) | 1);
  pass(2s);
  EXPECT_EQ(term(0), 1u << 16);  // it does not know yet
  routers[0].frozen = false;
  pass(200ms);
  EXPECT_EQ(term(0), 0u);
  EXPECT_EQ(routers[0].core->roster().term, 0u);
  EXPECT_EQ(routers[0].core->publish({}).error().code, Errc::unavailable);
  EXPECT_EQ(term(1), (2u << 16) | 1);
}

TEST_F(Routers, OfTwoClaimsTheHigherTermStays) {
  boot(2);
  pass(1s);
  cut(true);
  pass(100ms);
  EXPECT_EQ(term(1), (2u << 16) | 1);  // both sides see the other as LOST
  cut(false);
  pass(1s);
  EXPECT_EQ(term(0), 0u);
  EXPECT_NE(term(1), 0u);
}

TEST_F(Routers, DirectorsThatOnlyTheMembersSeeDoNotTakeTurnsForEver) {
  boot(2);
  pass(1s);
  cut(true);
  pass(60s);
  const auto reached = std::max(term(0), term(1)) >> 16;
  EXPECT_LE(reached, 20u);  // a fixed grace of 3 s would have used 20 in a minute
  pass(60s);
  EXPECT_LE((std::max(term(0), term(1)) >> 16) - reached, 5u);
  cut(false);
  pass(2s);
  EXPECT_NE(term(0) == 0, term(1) == 0);
}

TEST_F(Routers, ThreeElectTheNextLowest) {
  boot(3);
  pass(500ms);
  EXPECT_EQ(term(0), 1u << 16);
  kill(0);
  pass(200ms);
  EXPECT_EQ(term(1), (2u << 16) | 1);
  EXPECT_EQ(term(2), 0u);
  kill(1);
  pass(200ms);
  EXPECT_EQ(term(2), (3u << 16) | 2);
  start(0);
  start(1);
  pass(10s);
  EXPECT_EQ(term(2), (3u << 16) | 2);
  EXPECT_EQ(term(0) + term(1), 0u);
  EXPECT_EQ(most_active, 1u);
}

TEST_F(Routers, AllRestartedAtOnceGoAboveTheTermTheMembersSaw) {
  boot(2);
  pass(1s);
  kill(0);
  kill(1);
  start(0);
  start(1);
  pass(1s);
  EXPECT_EQ(term(0), 2u << 16);
  EXPECT_EQ(term(1), 0u);
  EXPECT_TRUE(serving[Role::attention]);
}

TEST_F(Routers, APassiveDirectorEvictsNobody) {
  boot(2);
  pass(1s);
  auto& passive = *routers[1].core;
  const auto says =
      announcement(Role::expert, 0, 1000 + static_cast<std::uint64_t>(Role::expert), 1);
  passive.connection_lost(says.peer, says.incarnation, now);
  now += 10s;
  for (auto& router : routers) router.core->tick(now);  // all stood still
  EXPECT_EQ(passive.beat(beat_of(says), now), BeatVerdict::heard);
  EXPECT_EQ(passive.announce(says, now).refusal, Refusal::none);
  EXPECT_EQ(passive.live_incarnation(says.peer), says.incarnation);
}

}  // namespace
}  // namespace troupe::actors
