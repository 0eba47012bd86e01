// A process that was stopped goes on where it stood.
#include "actors/running_clock.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;

TEST(RunningClock, GoesWithTheLoopThatLooksOften) {
  const TimePoint start{};
  RunningClock clock(start);
  for (auto passed = 0ms; passed < 120s; passed += RunningClock::kLongestSleep)
    EXPECT_EQ(clock.at(start + passed), start + passed);
  EXPECT_EQ(clock.at(start + 121s), start + 121s) << "late on a busy machine: that counts";
}

TEST(RunningClock, StandsStillWhileTheProcessIsStopped) {
  const TimePoint start{};
  RunningClock clock(start);
  clock.at(start + 1s);
  EXPECT_EQ(clock.at(start + 1s + 1h), start + 1s + RunningClock::kLongestSleep);
  EXPECT_EQ(clock.at(start + 2s + 1h), start + 2s + RunningClock::kLongestSleep);
}

TEST(RunningClock, WakesForDeadlinesAndOftenEnoughToTellAStopFromASleep) {
  const TimePoint start{};
  RunningClock clock(start);
  EXPECT_EQ(clock.wake(start + 60s), start + RunningClock::kLongestSleep);
  EXPECT_EQ(clock.wake(start + 1ms), start + 1ms);
  const auto now = clock.at(start + 1h);
  EXPECT_EQ(clock.wake(now + 1ms), start + 1h + 1ms) << "in the time of the machine";
}

}  // namespace
}  // namespace troupe::actors
