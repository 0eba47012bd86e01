// Who makes a loop's pass: its own thread when the bell rings, or whoever has work for it.
#include "transport/doorbell.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <chrono>
#include <thread>
#include <vector>

namespace troupe::transport {
namespace {

bool rings(const Doorbell& bell) {
  pollfd waiting{bell.fd(), POLLIN, 0};
  return ::poll(&waiting, 1, 0) == 1;
}

TEST(Doorbell, RingsStickUntilSilenced) {
  Doorbell bell;
  EXPECT_FALSE(bell.silence());
  bell.ring();
  bell.ring();
  EXPECT_TRUE(rings(bell));
  EXPECT_TRUE(bell.silence());
  EXPECT_FALSE(bell.silence());
  EXPECT_FALSE(rings(bell));
}

TEST(Doorbell, AKnockRingsWhereNobodyVisits) {
  Doorbell bell;
  int passes = 0;
  bell.open([&] { return ++passes > 0; });
  bell.knock();
  EXPECT_TRUE(bell.silence()) << "this thread makes no visits";
  bell.close();
  const Visits visits;
  bell.knock();
  EXPECT_TRUE(bell.silence()) << "the loop is not open";
  EXPECT_EQ(passes, 0);
}

TEST(Doorbell, VisitsMakeOnePassForManyKnocks) {
  Doorbell bell;
  int passes = 0;
  bell.open([&] { return ++passes > 0; });
  {
    const Visits visits;
    {
      const Visits inner;
      bell.knock();
      bell.knock();
    }
    EXPECT_EQ(passes, 0) << "the outermost makes them, at its end";
  }
  EXPECT_EQ(passes, 1);
  EXPECT_FALSE(rings(bell));
}

TEST(Doorbell, AVisitThatCannotArmTheLoopRings) {
  Doorbell bell;
  bell.open([] { return false; });
  {
    const Visits visits;
    bell.knock();
    EXPECT_FALSE(rings(bell));
  }
  EXPECT_TRUE(rings(bell));
}

TEST(Doorbell, AVisitFollowsWhatAPassKnocksAt) {
  Doorbell first, second;
  std::vector<int> order;
  first.open([&] {
    second.knock();
    order.push_back(1);
    return true;
  });
  second.open([&] {
    order.push_back(2);
    return true;
  });
  {
    const Visits visits;
    first.knock();
  }
  EXPECT_EQ(order, (std::vector{1, 2}));
}

TEST(Doorbell, RowsThatGoAroundForEverEndAVisitAfterABound) {
  Doorbell ping, pong;
  std::size_t passes = 0;
  ping.open([&] { return ++passes, pong.knock(), true; });
  pong.open([&] { return ++passes, ping.knock(), true; });
  {
    const Visits visits;
    ping.knock();
  }
  EXPECT_EQ(passes, Visits::kMax);
  EXPECT_NE(rings(ping), rings(pong)) << "the next one's own thread goes on";
}

TEST(Doorbell, WhoeverFindsTheTurnTakenLeavesWordAndGoes) {
  Doorbell bell;
  int passes = 0;
  bell.open([&] { return ++passes > 0; });
  {
    const auto turn = bell.take_turn();
    EXPECT_FALSE(bell.wanted());
    std::thread([&] {
      const Visits visits;
      bell.knock();
    }).join();
    EXPECT_TRUE(bell.wanted());
    EXPECT_EQ(passes, 0);
  }
  EXPECT_FALSE(rings(bell));
  { const auto turn = bell.take_turn(); }
  EXPECT_FALSE(bell.wanted()) << "a pass of its own thread finds what there is";
}

/// A loop as polled_actor has it, whose work is a number.
struct CountingLoop {
  Doorbell bell;
  std::atomic<int> work{0};
  std::atomic<int> done{0};
  std::atomic<int> visits{0};
  std::atomic<bool> stop{false};

  bool pass() {
    const int taken = work.exchange(0);
    done += taken;
    return taken > 0;
  }
  void run() {
    bell.open([this] {
      ++visits;
      while (pass()) {
      }
      return true;
    });
    while (!stop) {
      bool quiet = false;
      {
        const auto turn = bell.take_turn();
        quiet = !pass();
      }
      if (!quiet || bell.wanted()) continue;
      pollfd waiting{bell.fd(), POLLIN, 0};
      ::poll(&waiting, 1, -1);
      bell.silence();
    }
    bell.close();
  }
};

TEST(Doorbell, NoWorkIsLostBetweenVisitorsAndTheLoopsOwnThread) {
  constexpr int kRounds = 20'000;
  CountingLoop loop;
  std::thread own([&] { loop.run(); });
  std::array<std::thread, 2> visitors;
  for (std::thread& visitor : visitors) {
    visitor = std::thread([&] {
      for (int round = 0; round < kRounds; ++round) {
        const Visits visits(round % 16 != 0);
        ++loop.work;
        loop.bell.knock();
      }
    });
  }
  for (std::thread& visitor : visitors) visitor.join();
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (loop.done < 2 * kRounds && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  EXPECT_EQ(loop.done, 2 * kRounds) << loop.visits << " visits";
  loop.stop = true;
  loop.bell.ring();
  own.join();
}

}  // namespace
}  // namespace troupe::transport
