// The director actor under CAF's test coordinator: what agents hear, relays, lost connections.
#include <gtest/gtest.h>

#include <caf/scheduler/test_coordinator.hpp>

#include "actors/director/spawn_director.hpp"
#include "tests/support/announcements.hpp"

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;
using proto::Role;
using testing::announcement;
using testing::beat_of;

/// What an agent heard.
struct AgentLog {
  std::vector<AnnounceReply> replies;
  std::vector<Roster> rosters;
  std::vector<PlacementPtr> placements;
  std::vector<ConnectRequest> connects;
  std::vector<std::uint64_t> evictions;
  std::vector<ConnectReply> connected;
  std::vector<ReportReply> reports;
  std::vector<PublishOutcome> published;
  std::vector<LoadsReply> loads;
  ExpertLoad load;      // that it answers with
  int asked_loads = 0;  // how often it was asked
  bool answers_connects = true;
  bool answers_loads = true;
};

using run_atom = caf::atom_constant<caf::atom("run")>;
/// A member's agent that does what the test sends it, in its own name.
using PuppetActor =
    MemberActor::extend<caf::reacts_to<announce_atom, Announcement>,
                        caf::reacts_to<beat_atom, Beat>, caf::reacts_to<run_atom, ConnectRequest>,
                        caf::reacts_to<report_atom>, caf::reacts_to<newest_atom>,
                        caf::reacts_to<loads_atom>, caf::reacts_to<publish_atom, PlacementNote>>;

PuppetActor::behavior_type puppet(PuppetActor::pointer self, DirectorActor director,
                                  std::shared_ptr<AgentLog> log) {
  const auto keep = [](auto& list) { return [&list](const auto& got) { list.push_back(got); }; };
  return {
      [log](roster_atom, const Roster& roster) { log->rosters.push_back(roster); },
      [log](adopt_atom, const PlacementNote& note) { log->placements.push_back(note.placement); },
      [self, log](connect_atom, const ConnectRequest& request) -> caf::result<ConnectReply> {
        log->connects.push_back(request);
        if (log->answers_connects) return ConnectReply{{Errc::ok, {}}, "answer"};
        return self->make_response_promise<ConnectReply>();  // never delivered
      },
      [log](evicted_atom, std::uint64_t life) { log->evictions.push_back(life); },
      [self, log](load_atom) -> caf::result<ExpertLoad> {
        ++log->asked_loads;
        if (log->answers_loads) return log->load;
        return self->make_response_promise<ExpertLoad>();  // never delivered
      },
      [=](announce_atom, const Announcement& says) {
        self->request(director, caf::infinite, announce_atom_v, says)
            .then([=](const AnnounceReply& got) { keep(log->replies)(got); });
      },
      [=](beat_atom, const Beat& beat) { self->send(director, beat_atom_v, beat); },
      [=](run_atom, const ConnectRequest& request) {
        self->request(director, caf::infinite, connect_atom_v, request)
            .then([=](const ConnectReply& got) { keep(log->connected)(got); });
      },
      [=](report_atom) {
        self->request(director, caf::infinite, report_atom_v).then([=](const ReportReply& got) {
          keep(log->reports)(got);
        });
      },
      [=](newest_atom) { self->send(director, newest_atom_v); },
      [=](loads_atom) {
        self->request(director, caf::infinite, loads_atom_v).then([=](const LoadsReply& got) {
          keep(log->loads)(got);
        });
      },
      [=](publish_atom, const PlacementNote& draft) {
        self->request(director, caf::infinite, publish_atom_v, draft)
            .then([=](const PublishOutcome& got) { keep(log->published)(got); });
      }};
}

struct DirectorDesk : ::testing::Test {
  struct TestConfig : caf::actor_system_config {
    TestConfig() { set("scheduler.policy", caf::atom("testing")); }
  };
  struct Puppet {
    PuppetActor actor;
    std::shared_ptr<AgentLog> log = std::make_shared<AgentLog>();
    Announcement says;
  };

  explicit DirectorDesk(DirectorSettings settings = testing::director_settings(1)) {
    DirectorHooks hooks;
    hooks.on_event = [this](const DirectorEvent& event) { events.push_back(event); };
    director = spawn_director(system, testing::small_config(), settings, hooks);
    scheduler.run();
  }
  ~DirectorDesk() override {
    for (const auto& actor : spawned) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(director, caf::exit_reason::user_shutdown);
    scheduler.run();
    while (scheduler.try_run_once() || scheduler.trigger_timeout()) continue;
  }

  Puppet stranger(Role role, std::uint32_t index, std::uint64_t life) {
    Puppet one;
    one.says = announcement(role, index, life, 1);
    one.actor = system.spawn(puppet, director, one.log);
    spawned.push_back(one.actor);
    return one;
  }
  Puppet member(Role role, std::uint32_t index, std::uint64_t life) {
    auto one = stranger(role, index, life);
    tell(one, announce_atom_v, one.says);
    EXPECT_EQ(one.log->replies.back().refusal, Refusal::none);
    return one;
  }
  template <class... Args>
  void tell(const Puppet& one, const Args&... args) {
    caf::anon_send(one.actor, args...);
    scheduler.run();
  }
  void close(const Puppet& one) {
    caf::anon_send_exit(one.actor, caf::exit_reason::kill);
    scheduler.run();
  }
  /// Time goes on and the director ticks; `beating` beat every 300 ms.
  void pass(std::chrono::milliseconds time, const std::vector<Puppet>& beating = {}) {
    for (std::chrono::milliseconds gone{0}; gone < time; gone += 300ms) {
      scheduler.advance_time(300ms);
      scheduler.run();
      for (const auto& one : beating) tell(one, beat_atom_v, beat_of(one.says));
    }
  }
  bool heard_of(const std::string& name, const std::string& part) const {
    return std::any_of(events.begin(), events.end(), [&](const DirectorEvent& event) {
      return event.name == name && event.detail.find(part) != std::string::npos;
    });
  }

  TestConfig config;
  caf::actor_system system{config};
  caf::scheduler::test_coordinator& scheduler =
      dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  std::vector<DirectorEvent> events;
  DirectorActor director;
  std::vector<PuppetActor> spawned;
};

TEST_F(DirectorDesk, EveryoneHearsEveryChangeAndEveryPlacement) {
  auto expert = member(Role::expert, 0, 1);
  EXPECT_EQ(expert.log->replies.back().roster.members.size(), 1u);
  auto router = member(Role::router, 0, 2);
  EXPECT_EQ(expert.log->rosters.back().members.size(), 2u);
  auto attention = member(Role::attention, 0, 3);
  for (const auto* one : {&expert, &router, &attention}) {
    EXPECT_TRUE(one->log->rosters.back().serving);
    ASSERT_EQ(one->log->placements.size(), 1u);
    EXPECT_EQ(one->log->placements[0]->placement.epoch, 1u);
  }
  auto gateway = member(Role::gateway, 0, 4);
  EXPECT_EQ(gateway.log->placements.size(), 1u);  // the one in force
  tell(router, newest_atom_v);
  EXPECT_EQ(router.log->placements.size(), 2u);
  tell(gateway, publish_atom_v, PlacementNote{router.log->placements[0]});
  ASSERT_EQ(gateway.log->published.size(), 1u);
  EXPECT_EQ(gateway.log->published[0].epoch, 2u);
  EXPECT_EQ(expert.log->placements.back()->placement.epoch, 2u);
  EXPECT_TRUE(heard_of("cluster_serving", "true"));
  EXPECT_TRUE(heard_of("placement_published", "epoch=2"));
}

TEST_F(DirectorDesk, AStrangerHearsRefusalsOnly) {
  auto inside = member(Role::expert, 0, 1);
  auto outside = stranger(Role::router, 0, 2);
  outside.says.join_token[0] = std::byte{0};
  for (int i = 0; i < 3; ++i) tell(outside, announce_atom_v, outside.says);
  EXPECT_EQ(outside.log->replies[0].refusal, Refusal::token);
  tell(outside, beat_atom_v, beat_of(outside.says));
  tell(outside, newest_atom_v);
  tell(outside, report_atom_v);
  tell(outside, loads_atom_v);
  tell(outside, publish_atom_v, PlacementNote{std::make_shared<PublishedPlacement>()});
  tell(outside, run_atom{}, ConnectRequest{outside.says.peer, inside.says.peer, 2, "a"});
  EXPECT_EQ(outside.log->reports.at(0).error.code, Errc::unavailable);
  EXPECT_TRUE(outside.log->reports.at(0).report.members.empty());
  EXPECT_EQ(outside.log->loads.at(0).error.code, Errc::unavailable);
  EXPECT_EQ(inside.log->asked_loads, 0);
  EXPECT_EQ(outside.log->published.at(0).error.code, Errc::unavailable);
  EXPECT_EQ(outside.log->connected.at(0).error.code, Errc::unavailable);
  EXPECT_TRUE(inside.log->connects.empty());
  EXPECT_TRUE(outside.log->rosters.empty() && outside.log->placements.empty());
  EXPECT_EQ(std::count_if(events.begin(), events.end(),
                          [](const auto& event) { return event.name == "member_refused"; }),
            1);
}

TEST_F(DirectorDesk, MessagesWithoutASenderChangeNothing) {
  const auto says = announcement(Role::expert, 0, 1, 1);
  caf::anon_send(director, announce_atom_v, says);
  caf::anon_send(director, beat_atom_v, beat_of(says));
  caf::anon_send(director, newest_atom_v);
  caf::anon_send(director, connect_atom_v, ConnectRequest{says.peer, says.peer, 1, "a"});
  caf::anon_send(caf::actor_cast<caf::actor>(director), tick_atom_v);
  caf::anon_send(caf::actor_cast<caf::actor>(director), 3.5);
  scheduler.run();
  auto asker = member(Role::router, 0, 1);
  EXPECT_EQ(asker.log->rosters.back().members.size(), 1u);
}

TEST_F(DirectorDesk, OneAgentSpeaksForOneMember) {
  auto one = member(Role::expert, 0, 1);
  tell(one, announce_atom_v, announcement(Role::gateway, 0, 2, 1));
  EXPECT_EQ(one.log->replies.back().refusal, Refusal::malformed);
  tell(one, beat_atom_v, beat_of(announcement(Role::gateway, 0, 2, 1)));
  tell(one, report_atom_v);
  EXPECT_EQ(one.log->reports.back().report.members.size(), 1u);
}

TEST_F(DirectorDesk, PassesAConnectOnAndItsAnswerBack) {
  auto router = member(Role::router, 0, 1);
  auto expert = member(Role::expert, 0, 2);
  const ConnectRequest request{router.says.peer, expert.says.peer, 1, "mine"};
  tell(router, run_atom{}, request);
  ASSERT_EQ(expert.log->connects.size(), 1u);
  EXPECT_EQ(expert.log->connects[0].from, router.says.peer);
  EXPECT_EQ(expert.log->connects[0].address, "mine");
  ASSERT_EQ(router.log->connected.size(), 1u);
  EXPECT_EQ(router.log->connected[0].address, "answer");
  EXPECT_EQ(router.log->connected[0].error.code, Errc::ok);
  auto in_anothers_name = request;
  in_anothers_name.from = expert.says.peer;
  tell(router, run_atom{}, in_anothers_name);
  auto of_another_life = request;
  of_another_life.incarnation = 9;
  tell(router, run_atom{}, of_another_life);
  auto to_nobody = request;
  to_nobody.to = peer_id(Role::expert, 5);
  tell(router, run_atom{}, to_nobody);
  ASSERT_EQ(router.log->connected.size(), 4u);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(router.log->connected[i].error.code, Errc::unavailable);
  EXPECT_EQ(expert.log->connects.size(), 1u);
}

TEST_F(DirectorDesk, AnswersAConnectWithinTwoSecondsWhateverTheAcceptorDoes) {
  auto router = member(Role::router, 0, 1);
  auto expert = member(Role::expert, 0, 2);
  expert.log->answers_connects = false;
  tell(router, run_atom{}, ConnectRequest{router.says.peer, expert.says.peer, 1, "a"});
  pass(1800ms, {router, expert});
  EXPECT_TRUE(router.log->connected.empty());
  pass(300ms, {router, expert});
  ASSERT_EQ(router.log->connected.size(), 1u);
  EXPECT_EQ(router.log->connected[0].error.code, Errc::unavailable);
  EXPECT_NE(router.log->connected[0].error.detail.find("expert 0"), std::string::npos);
  tell(router, run_atom{}, ConnectRequest{router.says.peer, expert.says.peer, 1, "a"});
  close(expert);  // dies before it answers
  ASSERT_EQ(router.log->connected.size(), 2u);
  EXPECT_EQ(router.log->connected[1].error.code, Errc::unavailable);
}

struct TwoRanks : DirectorDesk {
  TwoRanks() : DirectorDesk(testing::director_settings(2)) {}

  /// Of rank `index`, with the counts of its half of the small model's experts.
  Puppet expert(std::uint32_t index, std::int64_t pairs) {
    auto one = stranger(Role::expert, index, 10 + index);
    one.says = announcement(Role::expert, index, 10 + index, 2);
    one.log->load = {one.says.peer, one.says.experts, std::vector<std::int64_t>(3 * 4, pairs)};
    tell(one, announce_atom_v, one.says);
    return one;
  }
};

TEST_F(TwoRanks, LoadsComeFromEveryExpertShardThatAnswers) {
  auto gateway = member(Role::gateway, 0, 1);
  tell(gateway, loads_atom_v);
  ASSERT_EQ(gateway.log->loads.size(), 1u);  // there is nobody to wait for
  EXPECT_TRUE(gateway.log->loads[0].ranks.empty());
  auto second = expert(1, 6), first = expert(0, 5);
  tell(gateway, loads_atom_v);
  ASSERT_EQ(gateway.log->loads.size(), 2u);
  const auto& both = gateway.log->loads[1].ranks;
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].peer, first.says.peer);
  EXPECT_EQ(both[0].pairs, first.log->load.pairs);
  EXPECT_EQ(both[1].experts.first, 4);
  EXPECT_EQ(both[1].pairs, second.log->load.pairs);
  EXPECT_EQ(gateway.log->asked_loads, 0);
  close(second);
  tell(gateway, loads_atom_v);
  ASSERT_EQ(gateway.log->loads.size(), 3u);
  EXPECT_EQ(gateway.log->loads[2].ranks.size(), 1u);
}

TEST_F(TwoRanks, AShardThatDoesNotAnswerIsLeftOutAfterASecondAndAskedOnceForAll) {
  auto gateway = member(Role::gateway, 0, 1), other = member(Role::gateway, 1, 2);
  auto frozen = expert(0, 5), fine = expert(1, 6);
  frozen.log->answers_loads = false;
  tell(gateway, loads_atom_v);
  tell(other, loads_atom_v);
  pass(900ms, {gateway, other, frozen, fine});
  EXPECT_TRUE(gateway.log->loads.empty());
  EXPECT_EQ(fine.log->asked_loads, 1);
  pass(300ms, {gateway, other, frozen, fine});
  for (const auto* one : {&gateway, &other}) {
    ASSERT_EQ(one->log->loads.size(), 1u);
    EXPECT_EQ(one->log->loads[0].error.code, Errc::ok);
    ASSERT_EQ(one->log->loads[0].ranks.size(), 1u);
    EXPECT_EQ(one->log->loads[0].ranks[0].peer, fine.says.peer);
  }
}

TEST_F(TwoRanks, ALoadThatDoesNotFitItsShardIsNobodys) {
  auto gateway = member(Role::gateway, 0, 1);
  auto one = expert(0, 5);
  const ExpertLoad good = one.log->load;
  auto& said = one.log->load;
  const std::vector<std::function<void()>> lies{[&] { said.pairs.pop_back(); },
                                                [&] { said.peer = peer_id(Role::expert, 1); },
                                                [&] {
                                                  said.experts = {0, 8};
                                                },
                                                [&] { said.pairs.clear(); }};
  for (const auto& lie : lies) {
    said = good;
    lie();
    tell(gateway, loads_atom_v);
    EXPECT_TRUE(gateway.log->loads.back().ranks.empty());
  }
  said = good;
  tell(gateway, loads_atom_v);
  EXPECT_EQ(gateway.log->loads.back().ranks.size(), 1u);
}

TEST_F(DirectorDesk, AClosedConnectionIsALostMember) {
  auto router = member(Role::router, 0, 1);
  auto expert = member(Role::expert, 0, 2);
  auto rival = stranger(Role::expert, 0, 3);
  tell(rival, announce_atom_v, rival.says);
  EXPECT_EQ(rival.log->replies.back().refusal, Refusal::rank_taken);
  close(expert);
  EXPECT_EQ(router.log->rosters.back().members[1].state, MemberState::lost);
  EXPECT_TRUE(heard_of("member_state", "expert 0 state=LOST"));
  tell(rival, announce_atom_v, rival.says);
  EXPECT_EQ(rival.log->replies.back().refusal, Refusal::none);
  EXPECT_EQ(router.log->rosters.back().members[1].incarnation, 3u);
}

TEST_F(DirectorDesk, TheFrozenAreEvictedWhenTheySpeakAndComeBackAnew) {
  auto router = member(Role::router, 0, 1);
  auto expert = member(Role::expert, 0, 2);
  auto attention = member(Role::attention, 0, 3);
  pass(3300ms, {router, attention});
  EXPECT_FALSE(router.log->rosters.back().serving);
  EXPECT_TRUE(expert.log->evictions.empty());
  tell(expert, beat_atom_v, beat_of(expert.says));
  EXPECT_EQ(expert.log->evictions, std::vector<std::uint64_t>{2});
  auto anew = expert.says;
  anew.incarnation = 20;
  tell(expert, announce_atom_v, anew);
  EXPECT_EQ(expert.log->replies.back().refusal, Refusal::none);
  EXPECT_TRUE(router.log->rosters.back().serving);
  tell(expert, beat_atom_v, beat_of(expert.says));  // a late one of the old life
  EXPECT_EQ(expert.log->evictions.size(), 1u);
}

TEST_F(DirectorDesk, WhoseRankWasTakenMeanwhileIsEvictedToo) {
  auto router = member(Role::router, 0, 1);
  auto frozen = member(Role::expert, 0, 2);
  pass(3300ms, {router});
  auto successor = member(Role::expert, 0, 3);
  tell(frozen, beat_atom_v, beat_of(frozen.says));
  EXPECT_EQ(frozen.log->evictions, std::vector<std::uint64_t>{2});
  const auto rosters = frozen.log->rosters.size();
  close(router);
  EXPECT_EQ(frozen.log->rosters.size(), rosters);  // it is no member
  close(frozen);
  tell(successor, report_atom_v);
  EXPECT_NE(successor.log->reports.back().report.members.back().entry.state, MemberState::lost);
}

TEST_F(DirectorDesk, AForgottenMemberThatSpeaksIsEvicted) {
  auto router = member(Role::router, 0, 1);
  auto expert = member(Role::expert, 0, 2);
  pass(64s, {router});
  EXPECT_EQ(router.log->rosters.back().members.size(), 1u);
  tell(expert, beat_atom_v, beat_of(expert.says));
  EXPECT_EQ(expert.log->evictions, std::vector<std::uint64_t>{2});
}

TEST_F(DirectorDesk, EndsWithConnectsUnderWay) {
  auto router = member(Role::router, 0, 1);
  auto expert = member(Role::expert, 0, 2);
  expert.log->answers_connects = false;
  tell(router, run_atom{}, ConnectRequest{router.says.peer, expert.says.peer, 1, "a"});
  caf::anon_send_exit(director, caf::exit_reason::user_shutdown);
  scheduler.run();
  EXPECT_EQ(system.registry().running(), spawned.size());  // the system's end waits for none
}

struct TwoDirectors : DirectorDesk {
  TwoDirectors() : DirectorDesk(testing::director_settings(1, 2, 0)) {}
};

TEST_F(TwoDirectors, ADirectorThatStandsDownSaysSoWithTermZero) {
  auto own = member(Role::router, 0, 1);
  EXPECT_EQ(own.log->replies.back().roster.term, 0u);
  EXPECT_TRUE(own.log->replies.back().roster.members.empty());
  auto other = member(Role::router, 1, 2);
  tell(other, beat_atom_v, beat_of(other.says));
  ASSERT_FALSE(own.log->rosters.empty());
  EXPECT_EQ(own.log->rosters.back().term, 1u << 16);
  EXPECT_EQ(own.log->rosters.back().members.size(), 2u);
  auto claims = beat_of(other.says);
  claims.director_term = (5u << 16) | 1;
  tell(other, beat_atom_v, claims);
  EXPECT_EQ(own.log->rosters.back().term, 0u);
  EXPECT_TRUE(heard_of("director_passive", "router=0"));
  tell(own, publish_atom_v, PlacementNote{std::make_shared<PublishedPlacement>()});
  EXPECT_EQ(own.log->published.back().error.code, Errc::unavailable);
  close(other);
  EXPECT_EQ(own.log->rosters.back().term, 6u << 16);
}

}  // namespace
}  // namespace troupe::actors
