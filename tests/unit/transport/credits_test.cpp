// Credits and the queue that waits for them: decode first, never more than granted.
#include "transport/credits.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "transport/lane_queue.hpp"

namespace troupe::transport {
namespace {

TEST(CreditAccount, PrefillLeavesTheDecodeShareFree) {
  CreditAccount account({4, 6});
  EXPECT_TRUE(account.reserve(6, Lane::prefill));
  EXPECT_FALSE(account.reserve(1, Lane::prefill));
  EXPECT_TRUE(account.reserve(4, Lane::decode));
  EXPECT_FALSE(account.reserve(1, Lane::decode));
  EXPECT_EQ(account.used_total(), 10u);
}

TEST(CreditAccount, DecodeMayUseEverything) {
  CreditAccount account({4, 6});
  EXPECT_TRUE(account.reserve(10, Lane::decode));
  EXPECT_FALSE(account.reserve(1, Lane::prefill));
  ASSERT_TRUE(account.release(3, Lane::decode));
  EXPECT_TRUE(account.reserve(3, Lane::prefill));
}

TEST(CreditAccount, ARefusedReservationChangesNothing) {
  CreditAccount account({1, 1});
  EXPECT_FALSE(account.reserve(3, Lane::decode));
  EXPECT_FALSE(account.reserve(0xffffffffu, Lane::decode));
  EXPECT_EQ(account.used_total(), 0u);
  EXPECT_FALSE(account.available(2, Lane::prefill));
}

TEST(CreditAccount, FindsReturnsOfWhatWasNeverOut) {
  CreditAccount account({4, 4});
  ASSERT_TRUE(account.reserve(2, Lane::decode));
  const auto twice = account.release(3, Lane::decode);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, Errc::internal);
  EXPECT_FALSE(account.release(1, Lane::prefill)) << "another lane's credits";
  EXPECT_EQ(account.used(Lane::decode), 2u);
}

TEST(CreditAccount, KnowsWhatCanNeverFit) {
  const CreditAccount account({4, 6});
  EXPECT_TRUE(account.fits_grant(10, Lane::decode));
  EXPECT_FALSE(account.fits_grant(11, Lane::decode));
  EXPECT_TRUE(account.fits_grant(6, Lane::prefill));
  EXPECT_FALSE(account.fits_grant(7, Lane::prefill));
}

TEST(CreditAccount, ANewPeerStartsWithNothingUnderWay) {
  CreditAccount account({1, 0});
  ASSERT_TRUE(account.reserve(1, Lane::decode));
  account.reset({2, 0});
  EXPECT_TRUE(account.reserve(2, Lane::decode));
}

TEST(CreditAccount, NeverExceedsItsGrantsUnderRandomUse) {
  constexpr std::uint32_t kSeed = 11;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 random(kSeed);
  CreditAccount account({16, 32});
  std::uint32_t out[2] = {0, 0};
  for (int i = 0; i < 20000; ++i) {
    const auto lane = static_cast<Lane>(random() % 2);
    const std::uint32_t rows = random() % 9;
    auto& mine = out[static_cast<int>(lane)];
    if (random() % 2 == 0) {
      if (account.reserve(rows, lane)) mine += rows;
    } else {
      ASSERT_EQ(account.release(rows, lane).has_value(), rows <= mine);
      if (rows <= mine) mine -= rows;
    }
    ASSERT_LE(out[0] + out[1], 48u);
    ASSERT_LE(out[1], 32u);
    ASSERT_EQ(account.used(Lane::decode), out[0]);
    ASSERT_EQ(account.used(Lane::prefill), out[1]);
  }
}

using Queue = LaneQueue<std::string>;

std::string pop(Queue& queue) {
  auto taken = queue.pop();
  return taken ? taken->item : "";
}

TEST(LaneQueue, ServesDecodeBeforePrefillAndEachInOrder) {
  CreditAccount credits({100, 100});
  Queue queue(credits);
  ASSERT_TRUE(queue.push("p1", 1, Lane::prefill));
  ASSERT_TRUE(queue.push("d1", 1, Lane::decode));
  ASSERT_TRUE(queue.push("p2", 1, Lane::prefill));
  ASSERT_TRUE(queue.push("d2", 1, Lane::decode));
  EXPECT_EQ(pop(queue), "d1");
  EXPECT_EQ(pop(queue), "d2");
  EXPECT_EQ(pop(queue), "p1");
  EXPECT_EQ(pop(queue), "p2");
  EXPECT_EQ(pop(queue), "");
  EXPECT_EQ(credits.used_total(), 4u);
}

TEST(LaneQueue, WaitsForCreditsAndPrefillDoesNotOvertakeDecode) {
  CreditAccount credits({4, 4});
  Queue queue(credits);
  ASSERT_TRUE(credits.reserve(6, Lane::decode));
  ASSERT_TRUE(queue.push("d", 3, Lane::decode));
  ASSERT_TRUE(queue.push("p", 1, Lane::prefill));
  EXPECT_EQ(pop(queue), "");
  ASSERT_TRUE(credits.release(1, Lane::decode));
  EXPECT_EQ(pop(queue), "d");
  EXPECT_EQ(pop(queue), "");
  ASSERT_TRUE(credits.release(8, Lane::decode));
  EXPECT_EQ(pop(queue), "p");
}

TEST(LaneQueue, RefusesBeyondItsBoundsAndLeavesTheItem) {
  CreditAccount credits({100, 100});
  Queue queue(credits, {2, 10});
  ASSERT_TRUE(queue.push("a", 4, Lane::decode));
  std::string item = "big";
  const auto rows = queue.push(std::move(item), 7, Lane::decode);
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, Errc::overloaded);
  EXPECT_EQ(item, "big");
  ASSERT_TRUE(queue.push("b", 1, Lane::prefill));
  EXPECT_EQ(queue.push("c", 1, Lane::decode).error().code, Errc::overloaded);
  EXPECT_EQ(queue.rows(), 5u);
}

TEST(LaneQueue, RefusesWorkThatWouldWaitForEver) {
  CreditAccount credits({4, 4});
  Queue queue(credits);
  EXPECT_EQ(queue.push("x", 9, Lane::decode).error().code, Errc::out_of_range);
  EXPECT_EQ(queue.push("x", 5, Lane::prefill).error().code, Errc::out_of_range);
  EXPECT_TRUE(queue.empty());
}

TEST(LaneQueue, PutsBackAtTheFrontWithItsCredits) {
  CreditAccount credits({4, 4});
  Queue queue(credits);
  ASSERT_TRUE(queue.push("a", 2, Lane::decode));
  ASSERT_TRUE(queue.push("b", 2, Lane::decode));
  auto taken = queue.pop();
  ASSERT_TRUE(taken);
  queue.put_back(std::move(*taken));
  EXPECT_EQ(credits.used_total(), 0u);
  EXPECT_EQ(queue.rows(), 4u);
  EXPECT_EQ(pop(queue), "a");
}

TEST(LaneQueue, RemovesCancelledItems) {
  CreditAccount credits({100, 100});
  Queue queue(credits);
  for (const char* name : {"a1", "b1", "a2"}) ASSERT_TRUE(queue.push(name, 2, Lane::decode));
  ASSERT_TRUE(queue.push("a3", 2, Lane::prefill));
  std::vector<std::string> gone;
  queue.remove_if([](const std::string& name) { return name[0] == 'a'; },
                  [&](std::string&& name) { gone.push_back(std::move(name)); });
  EXPECT_EQ(gone, (std::vector<std::string>{"a1", "a2", "a3"}));
  EXPECT_EQ(queue.rows(), 2u);
  EXPECT_EQ(pop(queue), "b1");
}

}  // namespace
}  // namespace troupe::transport
