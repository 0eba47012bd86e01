// A core that stays away for a time slice is not offered for a while.
#include "core/core_offer.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace troupe {
namespace {

using namespace std::chrono_literals;

TEST(CoreOffer, EveryThreadBeginsByOffering) {
  bool offered = false;
  std::thread([&] { offered = offer_core(); }).join();
  EXPECT_TRUE(offered);
}

TEST(CoreOffer, PausesAfterOneThatTookLong) {
  CoreOffers offers;
  const auto now = CoreOffers::Clock::now();
  EXPECT_TRUE(offers.due(now));
  offers.made(now, now + 900us);
  EXPECT_TRUE(offers.due(now + 900us));
  offers.made(now, now + 3ms);
  EXPECT_FALSE(offers.due(now + 3ms));
  EXPECT_FALSE(offers.due(now + 102ms));
  EXPECT_TRUE(offers.due(now + 103ms));
  offers.made(now + 103ms, now + 103ms);
  EXPECT_TRUE(offers.due(now + 103ms));
}

}  // namespace
}  // namespace troupe
