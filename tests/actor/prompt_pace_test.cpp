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

TEST(PromptPace, StartsWithDecodeRowsAloneAndThenAFewOfPrompts) {
  PromptPace pace(100ms);
  EXPECT_EQ(pace.rows_max(), 0);
  pace.observe(8, 0, 0.02);
  EXPECT_EQ(pace.rows_max(), PromptPace::kRowsUnmeasured);
}

TEST(PromptPace, FollowsWhatPromptRowsTakeBeyondTheDecodeStep) {
  PromptPace pace(100ms);
  pace.observe(8, 0, 0.05);
  pace.observe(8, 50, 0.15);  // 2 ms a row
  EXPECT_EQ(pace.rows_max(), 50);
  for (int step = 0; step < 12; ++step) pace.observe(8, 50, 0.25);  // 4 ms a row
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 25, 1);
}

TEST(PromptPace, APassOverTheWeightsIsNotThePrompts) {
  PromptPace pace(100ms);
  pace.observe(4, 0, 0.154);                                        // 150 ms, and 1 ms a row
  for (int step = 0; step < 12; ++step) pace.observe(4, 16, 0.17);  // the same
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 100, 1);
  pace.observe(0, 4, 0.154);  // the end of a prompt
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 100, 1);
}

TEST(PromptPace, LooksAtDecodeRowsAloneNowAndThen) {
  PromptPace pace(100ms);
  pace.observe(1, 0, 0.01);
  int mixed = 0;
  for (; pace.rows_max() > 0; ++mixed) pace.observe(40, 30, 0.2);
  EXPECT_EQ(mixed, PromptPace::kMixedSteps);
  pace.observe(40, 0, 0.11);
  for (int step = 0; step < 12; ++step) pace.observe(40, 30, 0.2);  // 3 ms a row
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 33, 1);
}

TEST(PromptPace, AStepQuickerThanTheOneBeforeDoesNotLiftTheLimit) {
  PromptPace pace(100ms);
  pace.observe(50, 0, 1.0);
  pace.observe(50, 50, 0.8);
  EXPECT_EQ(pace.rows_max(), 200);  // 16 times the rows of a mean row's time
}

TEST(PromptPace, AlwaysLetsAPromptGetOn) {
  PromptPace pace(100ms);
  pace.observe(1, 0, 1.0);
  pace.observe(1, 16, 60.0);
  EXPECT_EQ(pace.rows_max(), PromptPace::kRowsMin);
}

}  // namespace
}  // namespace troupe::actors
