// Prompt rows beside decoding sequences follow what rows took.
#include "actors/attention/prompt_pace.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <random>
#include <vector>

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
  PromptPace pace(150ms);
  pace.observe(8, 0, 0.05);
  pace.observe(8, 50, 0.15);  // 2 ms a row: 64 take 128 ms, decode rows leave 78
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 39, 1);
  for (int step = 0; step < 12; ++step) pace.observe(8, 50, 0.25);  // 4 ms a row
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 25, 1);
}

TEST(PromptPace, PromptsHaveWhatDecodeRowsLeaveOfAStep) {
  PromptPace pace(150ms);
  pace.observe(4, 0, 0.02);
  for (int step = 0; step < 12; ++step) pace.observe(4, 50, 0.12);  // 2 ms a row
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 54, 1);
  pace.observe(20, 0, 0.08);
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 24, 1);
}

TEST(PromptPace, PromptsHaveAtLeastAThirdOfTheTimeOfDecodeRows) {
  PromptPace pace(150ms);
  pace.observe(40, 0, 0.12);
  for (int step = 0; step < 12; ++step) pace.observe(40, 50, 0.17);  // 1 ms a row
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 40, 1);
  pace.observe(80, 0, 0.4);  // longer than the budget
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 133, 1);
}

TEST(PromptPace, QuickRowsDoNotFillTheBudget) {
  PromptPace pace(125ms);
  pace.observe(10, 0, 0.012);
  for (int step = 0; step < 12; ++step) pace.observe(10, 64, 0.038);  // 0.4 ms a row
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 34, 1);           // 64 would take 26 ms
  pace.observe(40, 0, 0.06);
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 50, 2);  // a third of the time of decode rows
}

TEST(PromptPace, AStepComesToItsBudgetWhenDecodeRowsBecomeMore) {
  PromptPace pace(150ms);
  pace.observe(4, 0, 0.02);
  pace.observe(4, 50, 0.12);  // 2 ms a row
  double step = 0;
  for (int mixed = 2; mixed < PromptPace::kMixedSteps; ++mixed) {
    const auto rows = pace.rows_max();
    step = 0.06 + 0.002 * static_cast<double>(rows);  // nobody told that decode rows take more
    pace.observe(20, rows, step);
  }
  EXPECT_NEAR(step, 0.15, 0.005);
}

TEST(PromptPace, APassOverTheWeightsIsNotThePrompts) {
  PromptPace pace(254ms);
  pace.observe(4, 0, 0.154);                                        // 150 ms, and 1 ms a row
  for (int step = 0; step < 12; ++step) pace.observe(4, 16, 0.17);  // the same
  const auto rows = pace.rows_max();
  EXPECT_NEAR(static_cast<double>(rows), 51, 1);
  pace.observe(0, 4, 0.154);  // the end of a prompt
  EXPECT_EQ(pace.rows_max(), rows);
}

TEST(PromptPace, LooksAtDecodeRowsAloneNowAndThen) {
  PromptPace pace(210ms);
  pace.observe(1, 0, 0.01);
  int mixed = 0;
  for (; pace.rows_max() > 0; ++mixed) pace.observe(40, 30, 0.2);
  EXPECT_EQ(mixed, PromptPace::kMixedSteps);
  pace.observe(40, 0, 0.11);
  for (int step = 0; step < 12; ++step) pace.observe(40, 30, 0.2);  // 3 ms a row
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 27, 1);
}

TEST(PromptPace, AStepQuickerThanTheOneBeforeDoesNotLiftTheLimit) {
  PromptPace pace(100ms);
  pace.observe(50, 0, 1.0);
  pace.observe(50, 50, 0.8);
  // A third of a second, at a 16th of a mean row's time.
  EXPECT_NEAR(static_cast<double>(pace.rows_max()), 667, 1);
}

TEST(PromptPace, AlwaysLetsAPromptGetOn) {
  PromptPace pace(100ms);
  pace.observe(1, 0, 1.0);
  pace.observe(1, 16, 60.0);
  EXPECT_EQ(pace.rows_max(), PromptPace::kRowsMin);
}

/// A shard with more requests than it can serve, by what its rows take: no clock is read.
class FullShard {
 public:
  static constexpr double kPass = 0.007, kDecodeRow = 0.0021, kPromptRow = 0.0016;  // seconds
  static constexpr std::int64_t kStepRows = 256;

  FullShard(std::chrono::milliseconds budget, std::size_t places)
      : pace_(budget), places_(places) {}

  /// Seconds of the next step.
  double step() {
    while (prompts_.size() + answers_.size() < places_) prompts_.push_back(draw_());
    const auto decode_rows = static_cast<std::int64_t>(answers_.size());
    const auto limit = decode_rows > 0 ? pace_.rows_max() : kStepRows;
    const auto before = std::min(limit, kStepRows - decode_rows);
    std::erase_if(answers_, [](std::int64_t& left) { return --left == 0; });
    auto left = before;
    while (left > 0 && !prompts_.empty()) {
      const auto rows = std::min(left, prompts_.front());
      left -= rows;
      prompts_.front() -= rows;
      if (prompts_.front() > 0) break;
      prompts_.pop_front();
      answers_.push_back(draw_());
    }
    const auto prompt_rows = before - left;
    const double seconds = kPass + kDecodeRow * static_cast<double>(decode_rows) +
                           kPromptRow * static_cast<double>(prompt_rows);
    pace_.observe(decode_rows, prompt_rows, seconds);
    tokens_ += decode_rows;
    seconds_ += seconds;
    return seconds;
  }
  double tokens_per_second() const { return static_cast<double>(tokens_) / seconds_; }
  std::size_t prompts() const { return prompts_.size(); }

 private:
  struct Lengths {  // of prompts and answers
    std::mt19937 random{7};
    std::int64_t operator()() { return 32 + static_cast<std::int64_t>(random() % 65); }
  };
  PromptPace pace_;
  std::size_t places_;
  Lengths draw_;
  std::deque<std::int64_t> prompts_;   // rows left
  std::vector<std::int64_t> answers_;  // tokens left
  std::int64_t tokens_ = 0;
  double seconds_ = 0;
};

TEST(PromptPace, UnderOverloadStepsKeepToTheBudgetAndAsMuchIsDone) {
  constexpr int kSteps = 4000;
  FullShard paced(125ms, 40), unlimited(0ms, 40);
  int longer = 0, waited = 0;
  for (int step = 0; step < kSteps; ++step) {
    longer += paced.step() > 0.125 * 1.1;
    waited += paced.prompts() > 0;
    unlimited.step();
  }
  EXPECT_LT(longer, kSteps / 100);
  EXPECT_GT(waited, kSteps * 9 / 10);  // so it was the pace that kept the steps short
  EXPECT_GT(paced.tokens_per_second(), 0.95 * unlimited.tokens_per_second());
}

TEST(PromptPace, ABudgetThatNoStepCanKeepStillFeedsTheBatch) {
  FullShard paced(1ms, 40), unlimited(0ms, 40);
  for (int step = 0; step < 4000; ++step) {
    paced.step();
    unlimited.step();
  }
  EXPECT_GT(paced.tokens_per_second(), 0.75 * unlimited.tokens_per_second());
}

}  // namespace
}  // namespace troupe::actors
