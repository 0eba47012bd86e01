// How often what strangers do is told, on virtual time.
#include "core/door_log.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

using namespace std::chrono_literals;

struct DoorLogTest : ::testing::Test {
  DoorLog log;
  DoorLog::TimePoint now{1h};
  int told(const std::string& address, int refusals) {
    int lines = 0;
    for (int i = 0; i < refusals; ++i) lines += log.admit(address, now).has_value();
    return lines;
  }
};

TEST_F(DoorLogTest, TellsFiveOfAnAddressThenOneAMinute) {
  EXPECT_EQ(told("a", 1000), 5);
  now += 59s;
  EXPECT_EQ(told("a", 1000), 0);
  now += 1s;
  EXPECT_EQ(told("a", 1000), 1);
  now += 10min;
  EXPECT_EQ(told("a", 1000), 5);
}

TEST_F(DoorLogTest, SaysHowManyItHasLeftOut) {
  EXPECT_EQ(log.admit("a", now), 0u);
  EXPECT_EQ(told("a", 24), 4);
  EXPECT_EQ(log.admit("b", now), 20u);
  EXPECT_EQ(log.admit("b", now), 0u);
}

TEST_F(DoorLogTest, IsBoundedWhateverTheNumberOfAddresses) {
  int lines = 0;
  for (int second = 0; second < 100; ++second, now += 1s)
    for (int i = 0; i < 100; ++i)
      lines += told("address " + std::to_string(second) + " " + std::to_string(i), 1);
  EXPECT_LE(lines, 50 + 100);
  EXPECT_GE(lines, 100);
}

}  // namespace
}  // namespace troupe
