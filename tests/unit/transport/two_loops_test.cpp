// Two threads that sleep on their doorbells and talk over a link: for ThreadSanitizer, and to show
// that no wake-up is lost.
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "transport/data_port.hpp"
#include "transport/inproc_link.hpp"

namespace troupe::transport {
namespace {

constexpr std::uint64_t kFrames = 3000;
constexpr int kGiveUpMs = 60000;  // a lost wake-up shows as a failure instead of a hang

/// Polls, and sleeps on the bell when armed. `done` is asked after each pass.
/// Returns false when nothing woke it for kGiveUpMs.
bool run_loop(Doorbell& bell, Link& link, const FrameSink& sink,
              const std::function<bool()>& done) {
  for (;;) {
    const bool busy = link.progress(sink);
    if (done()) return true;
    if (busy || !link.arm()) continue;
    pollfd waiting{bell.fd(), POLLIN, 0};
    if (::poll(&waiting, 1, kGiveUpMs) == 0) return false;
    bell.silence();
  }
}

OutgoingFrame numbered_frame(BufferPool& pool, std::uint64_t number) {
  proto::FrameHeader header;
  header.work_id = number;
  std::vector<float> values(64, static_cast<float>(number));
  proto::Rows rows;
  rows.rows = {1, 64, proto::WireDtype::f32, std::as_bytes(std::span(values))};
  return make_frame(pool, header, rows);
}

/// Sends kFrames numbered frames, as many at a time as the link takes, until all are echoed.
struct Asker {
  Link& link;
  BufferPool& pool;
  std::uint64_t sent = 0;
  std::uint64_t echoed = 0;
  std::uint64_t completed = 0;

  void send_more() {
    while (sent < kFrames) {
      if (!link.send(numbered_frame(pool, sent), [this](Errc) { ++completed; })) return;
      ++sent;
    }
  }
  bool done() {
    send_more();
    return echoed == kFrames;
  }
};

TEST(TwoLoops, EveryFrameIsEchoedInOrderThoughBothSleep) {
  Doorbell bell_a, bell_b;
  BufferPool pool;
  InprocSettings settings;
  settings.frames_in_flight_max = 7;
  auto pair = make_inproc_pair(bell_a, bell_b, pool, settings);
  std::atomic<bool> echo_ok{true};
  std::thread echo([&, b = std::move(pair.b)] {
    std::vector<OutgoingFrame> waiting;
    const auto flush = [&] {
      std::size_t sent = 0;
      while (sent < waiting.size() && b->send(std::move(waiting[sent]))) ++sent;
      waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(sent));
    };
    echo_ok = run_loop(
        bell_b, *b,
        [&](ReceivedFrame&& frame) {
          waiting.push_back({std::move(frame.bytes), {}});
        },
        [&] { return flush(), b->health().state != LinkState::open; });
  });
  Asker asker{*pair.a, pool};
  bool in_order = true;
  const bool finished = run_loop(
      bell_a, *pair.a,
      [&](ReceivedFrame&& frame) {
        float first;
        std::memcpy(&first, std::get<proto::Rows>(frame.body).rows.data.data(), sizeof first);
        in_order &= frame.header.work_id == asker.echoed &&
                    first == static_cast<float>(frame.header.work_id);
        ++asker.echoed;
      },
      [&] { return asker.done(); });
  pair.a->close(Link::CloseMode::flush);
  echo.join();
  EXPECT_TRUE(finished);
  EXPECT_TRUE(echo_ok);
  EXPECT_TRUE(in_order);
  EXPECT_EQ(asker.completed, kFrames);
  EXPECT_EQ(pair.a->stats().malformed_total, 0u);
}

TEST(TwoLoops, AnEndMayGoWhileTheOtherSends) {
  for (int round = 0; round < 50; ++round) {
    Doorbell bell_a;
    auto bell_b = std::make_unique<Doorbell>();
    BufferPool pool;
    auto plan = std::make_shared<FaultPlan>(static_cast<std::uint64_t>(round));
    InprocSettings settings;
    settings.faults_a_to_b = plan;
    auto pair = make_inproc_pair(bell_a, *bell_b, pool, settings);
    std::thread other([&, b = std::move(pair.b)]() mutable {
      for (int i = 0; i < round % 5; ++i) b->progress([](ReceivedFrame&&) {});
      if (round % 2 == 0) b->arm();
      if (round % 3 == 0) plan->lose_peer();
      b.reset();
      bell_b.reset();  // the bell may go with its end
    });
    std::uint64_t sent = 0;
    while (pair.a->health().state == LinkState::open) {
      if (pair.a->send(numbered_frame(pool, sent))) ++sent;
      pair.a->progress([](ReceivedFrame&&) {});
    }
    other.join();
    EXPECT_EQ(pair.a->health().state, LinkState::lost);
  }
}

}  // namespace
}  // namespace troupe::transport
