// Who may join, whose frames count, and what happens to frames that find no room.
#include "actors/peers.hpp"

#include <gtest/gtest.h>

#include "actors/compute_lane.hpp"
#include "actors/local_wire.hpp"
#include "proto/identity.hpp"
#include "tests/support/failing_new.hpp"

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;
constexpr PeerId kRouter = peer_id(proto::Role::router, 0);
constexpr PeerId kExpert = peer_id(proto::Role::expert, 0);

struct Heard : Peers::Events {
  void on_joined(PeerId) override { ++joined; }
  void on_frame(PeerId, transport::ReceivedFrame&& frame) override {
    ++frames;
    last = frame.header;
    const auto* why = std::get_if<proto::Failed>(&frame.body);
    failed = why != nullptr ? why->error : 0;
  }
  void on_lost(PeerId, const Error& why) override { lost.push_back(why); }
  int joined = 0;
  int frames = 0;
  proto::FrameHeader last;
  std::uint16_t failed = 0;  // its error, where the last one is a Failed
  std::vector<Error> lost;
};

/// A router and an expert shard, driven by hand.
struct Joining : ::testing::Test {
  static transport::Credentials credentials(PeerId who) {
    transport::Credentials own;
    own.role = role_of(who);
    own.index = index_of(who);
    own.identity = {1, 2, 100 + who};
    own.join_token[3] = std::byte{9};
    return own;
  }
  void connect() {
    router.emplace(router_says, settings, wire.buffers(), router_hears);
    expert.emplace(expert_says, settings, wire.buffers(), expert_hears);
    auto pair = wire.connect(kRouter, kExpert);
    const auto note = [](std::optional<Error>& place) {
      return [&place](const Expected<transport::Greeting>& greeting) {
        place = greeting ? Error{Errc::ok, {}} : greeting.error();
      };
    };
    router->add(kExpert, std::move(pair.a), true, now, note(router_outcome));
    expert->add(kRouter, std::move(pair.b), false, now, note(expert_outcome));
  }
  void turn(int times = 4) {
    for (int i = 0; i < times; ++i) {
      router->progress(now);
      expert->progress(now);
    }
  }
  transport::OutgoingFrame rows(Peers& from) {
    auto header = from.header();
    header.layer = 0;
    static const std::vector<std::byte> bytes(8);
    return transport::make_frame(wire.buffers(), header,
                                 proto::Rows{0, {1, 4, proto::WireDtype::bf16, bytes}});
  }

  LocalWire wire;
  PeersSettings settings;
  transport::Credentials router_says = credentials(kRouter);
  transport::Credentials expert_says = credentials(kExpert);
  TimePoint now{1h};
  Heard router_hears, expert_hears;
  std::optional<Error> router_outcome, expert_outcome;
  std::optional<Peers> router, expert;
};

TEST_F(Joining, GrantsCreditsBothWays) {
  settings.grant = {5, 6};
  connect();
  turn();
  EXPECT_EQ(router_outcome->code, Errc::ok);
  EXPECT_EQ(expert_outcome->code, Errc::ok);
  EXPECT_TRUE(router->joined(kExpert));
  EXPECT_EQ(router->credits(kExpert)->grant().prefill_rows, 6u);
  EXPECT_EQ(router->greeting(kExpert)->peer.incarnation, 100 + kExpert);
  EXPECT_EQ(router->joined_of(proto::Role::expert), std::vector{kExpert});
}

TEST_F(Joining, RefusesAnotherJoinToken) {
  expert_says.join_token[0] = std::byte{1};
  connect();
  turn();
  EXPECT_NE(router_outcome->code, Errc::ok);
  EXPECT_NE(expert_outcome->code, Errc::ok);
  EXPECT_FALSE(expert->joined(kRouter));
  EXPECT_EQ(expert->stats().refused_hellos_total, 1u);
}

TEST_F(Joining, RefusesOtherNumericsAndSaysBothIds) {
  expert_says.identity.numerics_id = 3;
  connect();
  turn();
  EXPECT_EQ(expert_outcome->code, Errc::unsupported) << expert_outcome->detail;
  EXPECT_EQ(router_outcome->code, Errc::unsupported) << router_outcome->detail;
}

TEST_F(Joining, RefusesWhoeverIsNotTheOneItWanted) {
  expert_says.index = 4;
  connect();
  turn();
  EXPECT_EQ(router_outcome->code, Errc::unavailable);
  EXPECT_NE(router_outcome->detail.find("expert 4"), std::string::npos) << router_outcome->detail;
}

TEST_F(Joining, RefusesASilentPeerAfterTheBudget) {
  auto plan = std::make_shared<transport::FaultPlan>(1);
  plan->add({.fault = transport::Fault::drop, .kind = proto::FrameKind::hello});
  wire.set_faults(kRouter, kExpert, plan);
  connect();
  turn();
  EXPECT_FALSE(router_outcome);
  EXPECT_EQ(router->next_deadline(), now + settings.handshake_budget);
  now += settings.handshake_budget;
  turn();
  EXPECT_EQ(router_outcome->code, Errc::deadline_exceeded);
}

TEST_F(Joining, DropsFramesOfAnotherIncarnation) {
  connect();
  turn();
  router->send(kExpert, rows(*router));
  auto old = rows(*router);
  auto header = router->header();
  header.layer = 0;
  header.sender_incarnation = 7;
  static const std::vector<std::byte> bytes(8);
  router->send(kExpert,
               transport::make_frame(wire.buffers(), header,
                                     proto::Rows{0, {1, 4, proto::WireDtype::bf16, bytes}}));
  turn();
  EXPECT_EQ(expert_hears.frames, 1);
  EXPECT_EQ(expert->stats().stale_frames_total, 1u);
}

TEST_F(Joining, WhoeverAskedHearsOfAFrameThereWasNoMemoryFor) {
  constexpr std::uint32_t kWidth = 4096;
  constexpr auto kNoMemory = static_cast<std::uint16_t>(Errc::resource_exhausted);
  static const std::vector<std::byte> bytes(kWidth * 2);
  const proto::RowBlock block{1, kWidth, proto::WireDtype::bf16, bytes};
  connect();
  turn();
  auto asked = router->header();
  asked.kind = static_cast<std::uint16_t>(proto::FrameKind::rows);
  asked.work_id = 7;
  asked.layer = 3;
  const auto send = [&](Peers& from, PeerId to, transport::OutgoingFrame&& frame) {
    const troupe::testing::NoMemoryFor none(4096);
    from.send(to, std::move(frame));
    turn();
    EXPECT_EQ(none.failures(), 1);
  };
  send(*router, kExpert, transport::make_frame(wire.buffers(), asked, proto::Rows{0, block}));
  EXPECT_EQ(expert_hears.frames, 0);
  ASSERT_EQ(router_hears.frames, 1);
  EXPECT_EQ(router_hears.failed, kNoMemory);
  EXPECT_TRUE(proto::answers(asked, router_hears.last));

  const auto reply = proto::reply_header(asked, expert->header().sender_incarnation, 0);
  send(*expert, kRouter, transport::make_frame(wire.buffers(), reply, proto::Combined{0, block}));
  ASSERT_EQ(router_hears.frames, 2);
  EXPECT_EQ(router_hears.failed, kNoMemory);
  EXPECT_TRUE(proto::answers(asked, router_hears.last));

  const std::vector<std::uint64_t> leased(1000, 7);
  send(*router, kExpert, transport::make_frame(wire.buffers(), asked, proto::Lease{1, leased}));
  EXPECT_EQ(expert_hears.frames + router_hears.frames, 2) << "others follow";
  EXPECT_EQ(expert->stats().stale_frames_total, 1u);
  router->send(kExpert, rows(*router));
  turn();
  EXPECT_EQ(expert_hears.frames, 1);
  EXPECT_EQ(expert_hears.failed, 0);
}

TEST_F(Joining, AGoodbyeEndsTheConnectionWithItsReason) {
  connect();
  turn();
  router->drop(kExpert, {Errc::overloaded, "too much"});
  turn(2);
  ASSERT_EQ(expert_hears.lost.size(), 1u);
  EXPECT_NE(expert_hears.lost[0].detail.find("too much"), std::string::npos);
  EXPECT_FALSE(expert->joined(kRouter));
}

TEST_F(Joining, ALostLinkIsToldOnce) {
  connect();
  turn();
  router.reset();
  expert->progress(now);
  expert->progress(now);
  ASSERT_EQ(expert_hears.lost.size(), 1u);
  EXPECT_EQ(expert_hears.lost[0].code, Errc::unavailable);
}

TEST_F(Joining, AReplacedConnectionIsALossFirst) {
  connect();
  turn();
  auto pair = wire.connect(kRouter, kExpert);
  router->add(kExpert, std::move(pair.a), true, now, {});
  EXPECT_EQ(router_hears.lost.size(), 1u);
  expert->add(kRouter, std::move(pair.b), false, now, {});
  turn();
  EXPECT_TRUE(router->joined(kExpert));
  EXPECT_EQ(router_hears.joined, 2);
  EXPECT_EQ(expert_hears.joined, 2);
  EXPECT_EQ(expert_hears.lost.size(), 1u);
}

TEST_F(Joining, EndingsAreCountedByReasonAndComeBackOnce) {
  auto plan = std::make_shared<transport::FaultPlan>(1);
  wire.set_faults(kRouter, kExpert, plan);
  connect();
  int losses = 0;
  expert->set_watcher([&](PeerId, const Error* lost) { losses += lost != nullptr ? 1 : 0; });
  turn();
  const auto counts = [&](LinkEnding how) {
    const auto all = expert->endings();
    return all.empty() ? std::pair<std::uint64_t, std::uint64_t>{}
                       : std::pair{all[0].ended_total[static_cast<std::size_t>(how)],
                                   all[0].rejoined_total[static_cast<std::size_t>(how)]};
  };
  const auto meet_again = [&] {
    auto pair = wire.connect(kRouter, kExpert);
    router->add(kExpert, std::move(pair.a), true, now, {});
    expert->add(kRouter, std::move(pair.b), false, now, {});
    turn();
    ASSERT_TRUE(expert->joined(kRouter));
  };
  using Counts = std::pair<std::uint64_t, std::uint64_t>;
  EXPECT_TRUE(expert->endings().empty());  // the first join is no return
  plan->add({.fault = transport::Fault::corrupt, .kind = proto::FrameKind::rows});
  router->send(kExpert, rows(*router));
  router->send(kExpert, rows(*router));
  turn();
  EXPECT_FALSE(expert->joined(kRouter));
  EXPECT_EQ(losses, 1);  // one line of the log, whatever came after the bad frame
  EXPECT_EQ(counts(LinkEnding::malformed), Counts(1, 0));
  meet_again();
  EXPECT_EQ(counts(LinkEnding::malformed), Counts(1, 1));
  expert->lose(kRouter, {Errc::unavailable, "silent"});
  turn();
  EXPECT_EQ(counts(LinkEnding::cut_off), Counts(1, 0));
  meet_again();
  router->drop(kExpert, {Errc::unavailable, "it ends"});
  turn(2);
  EXPECT_EQ(counts(LinkEnding::left), Counts(1, 0));
  meet_again();
  router.reset();
  expert->progress(now);
  expert->progress(now);
  EXPECT_EQ(counts(LinkEnding::lost), Counts(1, 0));
  EXPECT_EQ(counts(LinkEnding::left), Counts(1, 1));
  ASSERT_EQ(expert->endings().size(), 1u);
  EXPECT_EQ(expert->endings()[0].lanes, "inproc");
  EXPECT_EQ(expert->endings()[0].self, kExpert);
}

TEST_F(Joining, KeepsFramesWhileTheLinkIsFullAndGivesUpAtTheLimit) {
  settings.outbox_frames_max = 10;
  auto plan = std::make_shared<transport::FaultPlan>(1);
  wire.set_faults(kRouter, kExpert, plan);
  connect();
  turn();
  plan->freeze();
  std::size_t sent = 0;
  while (router->waiting_frames(kExpert) < 10 && sent < 5000) {
    router->send(kExpert, rows(*router));
    ++sent;
  }
  EXPECT_EQ(router->waiting_frames(kExpert), 10u);
  plan->thaw();
  for (int i = 0; i < 100; ++i) turn(1);
  EXPECT_EQ(expert_hears.frames, static_cast<int>(sent));
  plan->freeze();
  while (router->joined(kExpert) && sent < 10000) {
    router->send(kExpert, rows(*router));
    ++sent;
    if (sent % 100 == 0) router->progress(now);
  }
  EXPECT_EQ(router_hears.lost.size(), 1u);
}

TEST(ComputeLane, RunsWorkElsewhereAndDoneHere) {
  transport::Doorbell bell;
  std::vector<ComputeLane::Work> taken;
  bool room = false;
  ComputeLane lane(
      [&](ComputeLane::Work job) {
        if (room) taken.push_back(std::move(job));
        return room;
      },
      bell, 2);
  std::string order;
  lane.post([&] { order += "a"; }, [&] { order += "A"; });
  EXPECT_TRUE(lane.crowded_out());
  EXPECT_FALSE(lane.drain());
  room = true;
  lane.post([&] { order += "b"; }, [&] { order += "B"; });
  EXPECT_TRUE(lane.full());
  EXPECT_TRUE(lane.drain());  // both were offered, in order
  EXPECT_FALSE(lane.crowded_out());
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_TRUE(lane.arm());
  taken[1]();
  EXPECT_TRUE(bell.silence());
  EXPECT_FALSE(lane.arm());
  EXPECT_TRUE(lane.drain());
  taken[0]();
  EXPECT_TRUE(lane.drain());
  EXPECT_EQ(order, "bBaA");
  EXPECT_TRUE(lane.idle());
}

TEST(ComputeLane, ForgetsJobsThatNeverBegan) {
  transport::Doorbell bell;
  int done = 0;
  ComputeLane lane([](ComputeLane::Work) { return false; }, bell, 2);
  lane.post([] { FAIL() << "there was no room for it"; }, [&] { ++done; });
  lane.abandon();
  EXPECT_TRUE(lane.idle());
  EXPECT_EQ(done, 0);
}

}  // namespace
}  // namespace troupe::actors
