// The in-process link: what a wire would do, and the faults that tests can order.
#include "transport/inproc_link.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "proto/frames/codec.hpp"
#include "tests/support/failing_new.hpp"

namespace troupe::transport {
namespace {

using proto::FrameKind;

/// A pair of ends on one thread and what arrived at each.
struct Wire {
  explicit Wire(InprocSettings settings = {}) {
    auto pair = make_inproc_pair(bell_a, bell_b, pool, std::move(settings));
    a = std::move(pair.a);
    b = std::move(pair.b);
  }
  OutgoingFrame lease(std::uint64_t work_id) {
    const std::vector<std::uint64_t> ids{work_id};
    proto::Lease body;
    body.work_ids = ids;
    proto::FrameHeader header;
    header.work_id = work_id;
    return make_frame(pool, header, body);
  }
  /// Work ids of the frames that `link` has for its owner.
  std::vector<std::uint64_t> arrived(Link& link) {
    std::vector<std::uint64_t> ids;
    link.progress([&](ReceivedFrame&& frame) { ids.push_back(frame.header.work_id); });
    return ids;
  }

  Doorbell bell_a, bell_b;
  BufferPool pool;
  std::unique_ptr<Link> a, b;
};

using Ids = std::vector<std::uint64_t>;

InprocSettings faulty(std::shared_ptr<FaultPlan> a_to_b) {
  InprocSettings settings;
  settings.faults_a_to_b = std::move(a_to_b);
  return settings;
}

TEST(InprocLink, BringsFramesInOrderBothWays) {
  Wire wire;
  for (std::uint64_t id = 1; id <= 3; ++id) ASSERT_TRUE(wire.a->send(wire.lease(id)));
  ASSERT_TRUE(wire.b->send(wire.lease(9)));
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{1, 2, 3}));
  EXPECT_EQ(wire.arrived(*wire.a), (Ids{9}));
  EXPECT_EQ(wire.a->stats().frames_sent_total, 3u);
  EXPECT_EQ(wire.b->stats().frames_received_total, 3u);
  EXPECT_EQ(wire.a->stats().bytes_sent_total, wire.b->stats().bytes_received_total);
}

TEST(InprocLink, GathersRowsAndCopiesThem) {
  Wire wire;
  std::vector<float> first(8, 1.5f), second(8, 2.5f);
  proto::Rows rows;
  rows.rows = {2, 8, proto::WireDtype::f32, {}};
  OutgoingFrame frame = make_frame_head(wire.pool, {}, rows);
  frame.rows = {std::as_bytes(std::span(first)), std::as_bytes(std::span(second))};
  Errc outcome = Errc::internal;
  ASSERT_TRUE(wire.a->send(std::move(frame), [&](Errc e) { outcome = e; }));
  wire.arrived(*wire.a);
  ASSERT_EQ(outcome, Errc::ok);
  first.assign(8, -1);  // done: the sender may write again
  second.assign(8, -1);
  ReceivedFrame received;
  wire.b->progress([&](ReceivedFrame&& f) { received = std::move(f); });
  const auto& body = std::get<proto::Rows>(received.body);
  ASSERT_EQ(body.rows.data.size(), 64u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(body.rows.data.data()) % 64, 0u);
  float values[16];
  std::memcpy(values, body.rows.data.data(), sizeof values);
  EXPECT_EQ(values[0], 1.5f);
  EXPECT_EQ(values[15], 2.5f);
}

TEST(InprocLink, RefusesBytesThatDoNotAddUp) {
  Wire wire;
  proto::Rows rows;
  rows.rows = {2, 8, proto::WireDtype::f32, {}};
  OutgoingFrame frame = make_frame_head(wire.pool, {}, rows);
  const auto sent = wire.a->send(std::move(frame));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Errc::invalid_argument);
  EXPECT_FALSE(frame.head.empty()) << "a refused frame stays with its sender";
  OutgoingFrame short_frame{wire.pool.take(12), {}};
  EXPECT_EQ(wire.a->send(std::move(short_frame)).error().code, Errc::invalid_argument);
}

TEST(InprocLink, HandsOverTheHeaderOfAFrameThereIsNoMemoryFor) {
  InprocSettings settings;
  settings.frames_in_flight_max = 1;
  Wire wire(settings);
  const std::vector<std::byte> row(8192);
  OutgoingFrame frame = make_frame_head(
      wire.pool, {.work_id = 7}, proto::Rows{0, {1, 4096, proto::WireDtype::bf16, {}}});
  frame.rows = {row};
  bool left = false;
  {
    const troupe::testing::NoMemoryFor none(4096);
    ASSERT_TRUE(wire.a->send(std::move(frame), [&](Errc outcome) { left = outcome == Errc::ok; }));
    EXPECT_EQ(none.failures(), 1);
  }
  std::vector<ReceivedFrame> arrived;
  wire.b->progress([&](ReceivedFrame&& one) { arrived.push_back(std::move(one)); });
  ASSERT_EQ(arrived.size(), 1u);
  EXPECT_FALSE(arrived[0].whole());
  EXPECT_EQ(arrived[0].header.work_id, 7u);
  EXPECT_EQ(std::get<proto::Failed>(arrived[0].body).error,
            static_cast<std::uint16_t>(Errc::resource_exhausted));
  wire.a->progress([](ReceivedFrame&&) {});
  EXPECT_TRUE(left);
  EXPECT_EQ(wire.a->frames_in_flight(), 0u);
  EXPECT_TRUE(wire.a->send(wire.lease(8))) << "the place of the first is free again";
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{8}));
}

TEST(InprocLink, RefusesBeyondItsBoundAndRingsWhenThereIsRoom) {
  InprocSettings settings;
  settings.frames_in_flight_max = 2;
  Wire wire(settings);
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  ASSERT_TRUE(wire.a->send(wire.lease(2)));
  OutgoingFrame third = wire.lease(3);
  const auto refused = wire.a->send(std::move(third));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::overloaded);
  EXPECT_EQ(wire.a->stats().refused_total, 1u);
  EXPECT_EQ(wire.a->frames_in_flight(), 2u);
  EXPECT_FALSE(wire.bell_a.silence());
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{1, 2}));
  EXPECT_TRUE(wire.bell_a.silence());
  ASSERT_TRUE(wire.a->send(std::move(third)));
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{3}));
}

TEST(InprocLink, BoundsBytesButTakesOneFrameOfAnySize) {
  InprocSettings settings;
  settings.bytes_in_flight_max = 1;
  Wire wire(settings);
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  EXPECT_EQ(wire.a->send(wire.lease(2)).error().code, Errc::overloaded);
  wire.arrived(*wire.b);
  EXPECT_TRUE(wire.a->send(wire.lease(2)));
}

TEST(InprocLink, HandsOverABoundedNumberOfFramesInOnePass) {
  Wire wire;
  for (std::uint64_t id = 0; id < Link::kFramesPerPass + 5; ++id) {
    ASSERT_TRUE(wire.a->send(wire.lease(id)));
  }
  EXPECT_EQ(wire.arrived(*wire.b).size(), Link::kFramesPerPass);
  EXPECT_FALSE(wire.b->arm());
  EXPECT_EQ(wire.arrived(*wire.b).size(), 5u);
  EXPECT_TRUE(wire.b->arm());
}

TEST(InprocLink, RingsOnlyAParkedReader) {
  Wire wire;
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  EXPECT_FALSE(wire.bell_b.silence());
  EXPECT_FALSE(wire.b->arm());
  wire.arrived(*wire.b);
  ASSERT_TRUE(wire.b->arm());
  ASSERT_TRUE(wire.a->send(wire.lease(2)));
  EXPECT_TRUE(wire.bell_b.silence());
  ASSERT_TRUE(wire.a->send(wire.lease(3)));
  EXPECT_FALSE(wire.bell_b.silence()) << "it rang already and has not parked since";
}

TEST(InprocLink, DoesNotArmWhileACompletionIsOpen) {
  Wire wire;
  bool done = false;
  ASSERT_TRUE(wire.a->send(wire.lease(1), [&](Errc) { done = true; }));
  EXPECT_FALSE(wire.a->arm());
  EXPECT_TRUE(wire.a->progress([](ReceivedFrame&&) {}));
  EXPECT_TRUE(done);
  EXPECT_TRUE(wire.a->arm());
}

TEST(InprocLink, SendsFromASinkAndFromACompletion) {
  Wire wire;
  ASSERT_TRUE(wire.a->send(wire.lease(1), [&](Errc) { ASSERT_TRUE(wire.a->send(wire.lease(2))); }));
  wire.a->progress([](ReceivedFrame&&) {});
  wire.b->progress(
      [&](ReceivedFrame&& f) { ASSERT_TRUE(wire.b->send(wire.lease(f.header.work_id + 10))); });
  EXPECT_EQ(wire.arrived(*wire.a), (Ids{11, 12}));
}

TEST(InprocLink, DestroyingAnEndDeliversItsLastFramesThenALoss) {
  Wire wire;
  ASSERT_TRUE(wire.b->arm());
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  wire.bell_b.silence();
  wire.arrived(*wire.b);
  ASSERT_TRUE(wire.b->arm());
  ASSERT_TRUE(wire.a->send(wire.lease(2)));
  wire.a.reset();
  EXPECT_TRUE(wire.bell_b.silence());
  EXPECT_EQ(wire.b->health().state, LinkState::open);
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{2}));
  EXPECT_EQ(wire.b->health().state, LinkState::lost);
  EXPECT_EQ(wire.b->health().error.code, Errc::unavailable);
  EXPECT_EQ(wire.b->send(wire.lease(3)).error().code, Errc::unavailable);
  EXPECT_TRUE(wire.b->arm()) << "a lost link must not keep its loop awake";
}

TEST(InprocLink, ClosingWakesASleepingPeer) {
  Wire wire;
  ASSERT_TRUE(wire.b->arm());
  wire.a->close(Link::CloseMode::flush);
  EXPECT_TRUE(wire.bell_b.silence());
  EXPECT_EQ(wire.b->health().state, LinkState::lost);
}

TEST(InprocLink, ClosingCallsOpenCompletionsOnce) {
  Wire wire;
  std::vector<Errc> outcomes;
  ASSERT_TRUE(wire.a->send(wire.lease(1), [&](Errc e) { outcomes.push_back(e); }));
  wire.a->close(Link::CloseMode::flush);
  wire.a->close(Link::CloseMode::force);
  EXPECT_EQ(outcomes, (std::vector<Errc>{Errc::cancelled}));
  EXPECT_EQ(wire.a->health().state, LinkState::closed);
  EXPECT_EQ(wire.a->send(wire.lease(2)).error().code, Errc::unavailable);
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{1})) << "flush lets the last frame through";
}

TEST(InprocLink, AForcedCloseDropsWhatIsUnderWay) {
  Wire wire;
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  wire.a->close(Link::CloseMode::force);
  EXPECT_EQ(wire.arrived(*wire.b), Ids{});
  EXPECT_EQ(wire.b->health().state, LinkState::lost);
}

TEST(InprocLink, ACompletionThatSendsWhileClosingIsRefused) {
  Wire wire;
  Errc second = Errc::ok;
  ASSERT_TRUE(wire.a->send(wire.lease(1), [&](Errc) {
    const auto sent = wire.a->send(wire.lease(2));
    second = sent ? Errc::ok : sent.error().code;
  }));
  wire.a->close(Link::CloseMode::flush);
  EXPECT_EQ(second, Errc::unavailable);
}

TEST(InprocLink, FramesOutliveTheirLinks) {
  ReceivedFrame kept;
  {
    Wire wire;
    ASSERT_TRUE(wire.a->send(wire.lease(7)));
    wire.b->progress([&](ReceivedFrame&& frame) { kept = std::move(frame); });
  }
  EXPECT_EQ(std::get<proto::Lease>(kept.body).work_ids[0], 7u);
}

TEST(InprocLink, CountsStaleFramesForItsOwner) {
  Wire wire;
  wire.a->count_stale();
  EXPECT_EQ(wire.a->stats().stale_total, 1u);
}

TEST(InprocFaults, DropDuplicateAndSkipByRule) {
  auto plan = std::make_shared<FaultPlan>(1);
  plan->add({Fault::drop, FrameKind::lease, 1, 1, 1});
  plan->add({Fault::duplicate, FrameKind::lease, 1, 1, 1});
  Wire wire(faulty(plan));
  for (std::uint64_t id = 1; id <= 4; ++id) ASSERT_TRUE(wire.a->send(wire.lease(id)));
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{1, 3, 3, 4}));
  EXPECT_EQ(plan->faults_total(), 2u);
  EXPECT_EQ(wire.a->frames_in_flight(), 0u);
}

TEST(InprocFaults, ARuleForAnotherKindDoesNothing) {
  auto plan = std::make_shared<FaultPlan>(1);
  plan->add({Fault::drop, FrameKind::rows, 0, 0, 1});
  Wire wire(faulty(plan));
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{1}));
}

TEST(InprocFaults, DelayedFramesAreOvertakenAndWakeTheReader) {
  auto plan = std::make_shared<FaultPlan>(1);
  plan->add({Fault::delay, std::nullopt, 0, 1, 1});
  Wire wire(faulty(plan));
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  ASSERT_TRUE(wire.a->send(wire.lease(2)));
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{2}));
  ASSERT_TRUE(wire.b->arm());
  plan->release_delayed();
  EXPECT_TRUE(wire.bell_b.silence());
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{1}));
}

TEST(InprocFaults, ACorruptFrameIsCountedAndEndsTheLink) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    auto plan = std::make_shared<FaultPlan>(seed);
    plan->add({Fault::corrupt, std::nullopt, 0, 1, 1});
    Wire wire(faulty(plan));
    ASSERT_TRUE(wire.a->send(wire.lease(1)));
    ASSERT_TRUE(wire.a->send(wire.lease(2)));
    EXPECT_EQ(wire.arrived(*wire.b), Ids{}) << "seed " << seed;
    EXPECT_EQ(wire.b->stats().malformed_total, 1u) << "seed " << seed;
    EXPECT_EQ(wire.b->health().state, LinkState::lost);
    EXPECT_EQ(wire.b->health().error.code, Errc::malformed);
    EXPECT_EQ(wire.a->health().state, LinkState::lost);
  }
}

TEST(InprocFaults, ALostPeerLosesWhatIsUnderWayAndWakesBoth) {
  auto plan = std::make_shared<FaultPlan>(1);
  plan->add({Fault::lose_peer, std::nullopt, 1, 1, 1});
  Wire wire(faulty(plan));
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  ASSERT_TRUE(wire.a->send(wire.lease(2))) << "the sender learns of the loss later";
  EXPECT_TRUE(wire.bell_a.silence());
  EXPECT_TRUE(wire.bell_b.silence());
  EXPECT_EQ(wire.arrived(*wire.b), Ids{});
  EXPECT_EQ(wire.a->health().state, LinkState::lost);
  EXPECT_EQ(wire.b->health().state, LinkState::lost);
  EXPECT_EQ(wire.a->frames_in_flight(), 0u);
}

TEST(InprocFaults, ATestMayCutTheWireAtAnyTime) {
  auto plan = std::make_shared<FaultPlan>(1);
  Wire wire(faulty(plan));
  plan->lose_peer();
  EXPECT_EQ(wire.a->health().state, LinkState::lost);
  EXPECT_EQ(wire.b->health().state, LinkState::lost);
}

TEST(InprocFaults, AFrozenPeerReportsNothingUntilItThaws) {
  auto plan = std::make_shared<FaultPlan>(1);
  InprocSettings settings = faulty(plan);
  settings.frames_in_flight_max = 2;
  Wire wire(settings);
  plan->freeze();
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  ASSERT_TRUE(wire.a->send(wire.lease(2)));
  EXPECT_EQ(wire.a->send(wire.lease(3)).error().code, Errc::overloaded);
  EXPECT_EQ(wire.arrived(*wire.b), Ids{});
  EXPECT_EQ(wire.a->health().state, LinkState::open);
  EXPECT_TRUE(wire.b->arm());
  EXPECT_FALSE(wire.bell_b.silence());
  plan->thaw();
  EXPECT_TRUE(wire.bell_b.silence());
  EXPECT_EQ(wire.arrived(*wire.b), (Ids{1, 2}));
}

TEST(InprocFaults, AFrozenPlanFreezesLinksMadeLater) {
  auto plan = std::make_shared<FaultPlan>(1);
  plan->freeze();
  Wire wire(faulty(plan));
  ASSERT_TRUE(wire.a->send(wire.lease(1)));
  EXPECT_EQ(wire.arrived(*wire.b), Ids{});
}

TEST(InprocFaults, TheSameSeedHitsTheSameFrames) {
  const auto survivors = [](std::uint64_t seed) {
    auto plan = std::make_shared<FaultPlan>(seed);
    plan->add({Fault::drop, std::nullopt, 0, 0, 0.5});
    Wire wire(faulty(plan));
    for (std::uint64_t id = 0; id < 60; ++id) EXPECT_TRUE(wire.a->send(wire.lease(id)));
    return wire.arrived(*wire.b);
  };
  EXPECT_EQ(survivors(7), survivors(7));
  EXPECT_NE(survivors(7), survivors(8));
  const std::size_t left = survivors(7).size();
  EXPECT_GT(left, 10u);
  EXPECT_LT(left, 50u);
}

}  // namespace
}  // namespace troupe::transport
