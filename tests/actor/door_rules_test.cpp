// Who has to leave a full control port, on virtual time.
#include <gtest/gtest.h>

#include "actors/control/door_places.hpp"

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;

struct DoorPlacesTest : ::testing::Test {
  DoorLimits limits{.waiting_max = 8, .inside_max = 1, .budget = 5000ms, .undisturbed = 250ms};
  DoorPlaces places{limits};
  DoorPlaces::TimePoint now{1h};
  void fill(const std::string& address, int from, int until) {
    for (int place = from; place < until; ++place) places.add(place, address, now);
  }
};

TEST_F(DoorPlacesTest, GiveUpOnWhoeverHasHadTheBudget) {
  EXPECT_EQ(places.next_expiry(), DoorPlaces::TimePoint::max());
  fill("a", 1, 2);
  now += 1s;
  fill("a", 2, 3);
  EXPECT_EQ(places.next_expiry(), now + 4s);
  EXPECT_FALSE(places.expired(now + 4s - 1ms));
  EXPECT_EQ(places.expired(now + 4s), 1);
  places.remove(1);
  EXPECT_EQ(places.next_expiry(), now + 5s);
}

TEST_F(DoorPlacesTest, LetThoseFinishThatCameAllAtOnce) {
  for (int place = 0; place < 8; ++place) places.add(place, "host " + std::to_string(place), now);
  EXPECT_TRUE(places.full());
  EXPECT_FALSE(places.victim(now));
  EXPECT_EQ(places.victim_due(), now + 250ms);
  EXPECT_EQ(places.victim(now + 250ms), 0);
}

TEST_F(DoorPlacesTest, TakeFromTheAddressThatHoldsMost) {
  fill("one of ours", 1, 3);
  now += 1s;
  fill("a stranger", 3, 9);
  EXPECT_EQ(places.victim(now), 3) << "at once: it holds more than a quarter";
  places.remove(3);
  places.remove(4);
  places.remove(5);
  places.remove(6);
  EXPECT_FALSE(places.full());
}

TEST_F(DoorPlacesTest, TakeTheOldestOfEqualOnes) {
  fill("a", 1, 3);
  fill("b", 3, 5);
  EXPECT_FALSE(places.victim(now));
  EXPECT_EQ(places.victim(now + 250ms), 1);
}

TEST_F(DoorPlacesTest, HaveNobodyToGiveAwayWhenEmpty) {
  EXPECT_FALSE(places.victim(now));
  EXPECT_FALSE(places.expired(now + 1h));
  EXPECT_FALSE(places.full());
}

}  // namespace
}  // namespace troupe::actors
