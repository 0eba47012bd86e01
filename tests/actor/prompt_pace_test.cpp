// Prompt rows beside decoding sequences follow what rows took.
#include "actors/attention/prompt_pace.hpp"

#include <gtest/gtest.h>

#include "actors/attention/batch_scheduler.hpp"

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;

TEST(PromptPace, HasNoLimitWithoutABudget) {
  PromptPace pace(0ms);
  pace.observe(4, 64, 1.0);
  EXPECT_EQ(pace.rows_max(), BatchScheduler::kNoLimit);
}

TEST(PromptPace, StartsWithAFewRowsAndFollowsWhatTheyTake) {
  PromptPace pace(100ms);
  EXPECT_EQ(pace.rows_max(), PromptPace::kRowsUnmeasured);
  pace.observe(0, 200, 0.4);  // 2 ms a row
  EXPECT_EQ(pace.rows_max(), 50);
  for (int step = 0; step < 20; ++step) pace.observe(0, 50, 0.2);  // 4 ms a row
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 25, 1);
}

TEST(PromptPace, TakesDecodeRowsOffAStep) {
  PromptPace pace(100ms);
  pace.observe(8, 0, 0.05);
  pace.observe(8, 50, 0.15);  // 0.1 s of prompts
  EXPECT_EQ(pace.rows_max(), 50);
}

TEST(PromptPace, StepsQuickerThanDecodingAloneDoNotLiftTheLimit) {
  PromptPace pace(100ms);
  pace.observe(50, 0, 1.0);
  for (int step = 0; step < 20; ++step) pace.observe(50, 50, 0.8);  // a row: 8 ms, at least 4
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 25, 1);
}

TEST(PromptPace, AlwaysLetsAPromptGetOn) {
  PromptPace pace(100ms);
  pace.observe(1, 1, 60.0);
  EXPECT_EQ(pace.rows_max(), PromptPace::kRowsMin);
}

}  // namespace
}  // namespace troupe::actors
