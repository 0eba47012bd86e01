// A thread that never lost its core for long offers it.
#include "core/core_offer.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace troupe {
namespace {

TEST(CoreOffer, EveryThreadBeginsByOffering) {
  bool offered = false;
  std::thread([&] { offered = offer_core(); }).join();
  EXPECT_TRUE(offered);
}

}  // namespace
}  // namespace troupe
