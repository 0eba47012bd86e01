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

TEST(PromptPace, PromptRowsThatTakeLongerThanDecodeRowsAreFewer) {
  PromptPace pace(400ms);
  pace.observe(8, 0, 0.016);        // 2 ms a row
  pace.observe(50, 20, 0.1 + 0.2);  // 10 ms a prompt row
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 40, 1);
}

TEST(PromptPace, RowsOfASmallStepSayNothingOfThoseOfALargeOne) {
  PromptPace pace(100ms);
  pace.observe(1, 0, 0.01);
  pace.observe(30, 20, 0.1);  // 2 ms a row, not (0.1 - 0.3) / 20
  EXPECT_EQ(pace.rows_max(), 50);
}

TEST(PromptPace, AlwaysLetsAPromptGetOn) {
  PromptPace pace(100ms);
  pace.observe(1, 1, 60.0);
  EXPECT_EQ(pace.rows_max(), PromptPace::kRowsMin);
}

}  // namespace
}  // namespace troupe::actors
