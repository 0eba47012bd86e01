// The scheduler alone: which rows a step has, who waits, who ends.
#include "actors/attention/batch_scheduler.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace troupe::actors {
namespace {

struct Scheduling : ::testing::Test {
  Scheduling() { settings = {.chunk = 8, .step_rows_max = 16, .running_max = 4, .waiting_max = 3}; }
  BatchScheduler& make(std::int64_t pages = 16) {
    settings.positions_max = 1000;
    settings.vocab_size = 100;
    pool.emplace(model::KvPool::Shape{1, 8, DType::bf16, pages});
    return scheduler.emplace(settings, *pool);
  }
  SequenceRequest request(RequestId id, int prompt, int max_tokens) {
    SequenceRequest request;
    request.request = id;
    request.tokens.resize(static_cast<std::size_t>(prompt));
    std::iota(request.tokens.begin(), request.tokens.end(), 0);
    for (auto& token : request.tokens) token %= 100;
    request.prompt_tokens = prompt;
    request.sampling.max_tokens = max_tokens;
    return request;
  }
  /// Completes the open step; every sampling part draws `token`.
  std::vector<SequenceEvent> complete(const StepPlan& plan, std::int32_t token = 42) {
    std::vector<PartOutcome> outcomes(plan.parts.size());
    for (std::size_t i = 0; i < plan.parts.size(); ++i)
      if (plan.parts[i].samples) outcomes[i].sample = model::Sample{token, -1.0f, {}};
    scheduler->complete(outcomes);
    return scheduler->take_events();
  }
  static std::vector<std::pair<RequestId, std::int64_t>> rows(const StepPlan& plan) {
    std::vector<std::pair<RequestId, std::int64_t>> rows;
    for (const auto& part : plan.parts) rows.emplace_back(part.sequence->asked.request, part.rows);
    return rows;
  }
  using Rows = std::vector<std::pair<RequestId, std::int64_t>>;

  BatchScheduler::Settings settings;
  std::optional<model::KvPool> pool;
  std::optional<BatchScheduler> scheduler;
};

TEST_F(Scheduling, CutsPromptsIntoChunksAndSamplesAfterTheLast) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 10, 2)));
  auto first = *s.next(TimePoint{});
  EXPECT_EQ(rows(first), (Rows{{1, 8}}));
  EXPECT_FALSE(first.parts[0].samples);
  auto events = complete(first);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].prompt_computed, 8);
  auto second = *s.next(TimePoint{});
  EXPECT_EQ(rows(second), (Rows{{1, 2}}));
  EXPECT_EQ(second.parts[0].first_position, 8);
  EXPECT_TRUE(second.parts[0].samples);
  events = complete(second);
  EXPECT_EQ(events[0].position, 10);
  EXPECT_EQ(events[0].sample->token, 42);
  auto third = *s.next(TimePoint{});
  EXPECT_EQ(third.batch.tokens, (std::vector<std::int32_t>{42}));
  events = complete(third);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(*events[1].finish, FinishReason::length);
  EXPECT_TRUE(s.idle());
  EXPECT_EQ(pool->pages_used(), 0);
}

TEST_F(Scheduling, PutsDecodeRowsBeforePromptChunks) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 3, 5)));
  complete(*s.next(TimePoint{}));
  ASSERT_TRUE(s.admit(request(2, 30, 5)));
  ASSERT_TRUE(s.admit(request(3, 30, 5)));
  auto plan = *s.next(TimePoint{});
  EXPECT_EQ(rows(plan), (Rows{{1, 1}, {2, 8}, {3, 7}}));  // 16 rows in all
  EXPECT_EQ(plan.parts[1].first_row, 1);
  EXPECT_EQ(plan.parts[2].first_row, 9);
  EXPECT_EQ(plan.batch.rows(), 16);
  complete(plan);
}

TEST_F(Scheduling, GivesEveryDecodingSequenceItsTurn) {
  settings.step_rows_max = settings.running_max = 3;
  auto& s = make();
  settings.waiting_max = 10;
  for (RequestId id = 1; id <= 3; ++id) ASSERT_TRUE(s.admit(request(id, 1, 100)));
  std::map<RequestId, int> turns;
  for (int step = 0; step < 12; ++step) {
    auto plan = *s.next(TimePoint{});
    for (const auto& [id, count] : rows(plan)) turns[id] += static_cast<int>(count);
    complete(plan);
  }
  for (const auto& [id, count] : turns) EXPECT_EQ(count, 12) << id;
}

TEST_F(Scheduling, ReservesEveryPageBeforeItStartsSoThatNoneIsStuck) {
  auto& s = make(/*pages=*/3);
  ASSERT_TRUE(s.admit(request(1, 60, 60)));  // 119 inputs: 2 pages
  ASSERT_TRUE(s.admit(request(2, 60, 60)));  // 2 more: waits
  ASSERT_TRUE(s.admit(request(3, 1, 1)));    // would fit, but comes later
  complete(*s.next(TimePoint{}));
  EXPECT_EQ(s.running(), 1u);
  EXPECT_EQ(s.waiting(), 2u);
  EXPECT_EQ(s.pages_reserved(), 2);
  while (auto plan = s.next(TimePoint{})) complete(*plan);
  EXPECT_TRUE(s.idle());
  EXPECT_EQ(s.pages_reserved(), 0);
  EXPECT_EQ(pool->pages_used(), 0);
}

TEST_F(Scheduling, TakesPagesOnlyAsTheyAreUsed) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 8, 500)));
  complete(*s.next(TimePoint{}));
  EXPECT_EQ(pool->pages_used(), 1);
  EXPECT_EQ(s.pages_reserved(), 8);
}

TEST_F(Scheduling, RefusesWhatCannotBeServed) {
  auto& s = make(/*pages=*/2);
  const auto code = [&](SequenceRequest asked) {
    const auto admitted = s.admit(std::move(asked));
    return admitted ? Errc::ok : admitted.error().code;
  };
  EXPECT_EQ(code(request(1, 0, 5)), Errc::invalid_argument);
  auto wild = request(1, 3, 5);
  wild.tokens[1] = 100;
  EXPECT_EQ(code(wild), Errc::invalid_argument);
  EXPECT_EQ(code(request(1, 990, 11)), Errc::out_of_range);
  EXPECT_EQ(code(request(1, 100, 30)), Errc::resource_exhausted);
  auto over = request(1, 4, 2);
  over.prompt_tokens = 2;  // two of two are generated already
  over.attempt = 1;
  EXPECT_EQ(code(over), Errc::invalid_argument);
  for (RequestId id = 1; id <= 3; ++id) EXPECT_EQ(code(request(id, 4, 4)), Errc::ok);
  EXPECT_EQ(code(request(4, 4, 4)), Errc::overloaded);
}

TEST_F(Scheduling, PutsReplaysFirstAndNeverRefusesThemForLoad) {
  settings.running_max = 1;
  auto& s = make();
  for (RequestId id = 1; id <= 3; ++id) ASSERT_TRUE(s.admit(request(id, 4, 1)));
  auto replay = request(9, 4, 4);
  replay.prompt_tokens = 3;
  replay.attempt = 1;
  ASSERT_TRUE(s.admit(replay));
  EXPECT_EQ(rows(*s.next(TimePoint{})), (Rows{{9, 4}}));
}

TEST_F(Scheduling, ALaterAttemptTakesThePlaceOfTheOlderOne) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 4, 4)));
  auto plan = *s.next(TimePoint{});
  auto again = request(1, 4, 4);
  again.attempt = 1;
  ASSERT_TRUE(s.admit(again));
  EXPECT_TRUE(complete(plan).empty());  // of the older one nothing is told any more
  EXPECT_EQ(s.next(TimePoint{})->parts[0].sequence->asked.attempt, 1u);
}

TEST_F(Scheduling, AWithdrawnSequenceLeavesAfterTheOpenStep) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 4, 4)));
  auto plan = *s.next(TimePoint{});
  s.withdraw(0, 1);
  EXPECT_EQ(s.running(), 1u);
  EXPECT_TRUE(complete(plan).empty());
  EXPECT_TRUE(s.idle());
  EXPECT_EQ(pool->pages_used(), 0);
}

TEST_F(Scheduling, AFailedPartEndsItsSequenceOnly) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 4, 4)));
  ASSERT_TRUE(s.admit(request(2, 4, 4)));
  auto plan = *s.next(TimePoint{});
  std::vector<PartOutcome> outcomes(2);
  outcomes[0].error = Error{Errc::unavailable, "gone"};
  outcomes[1].sample = model::Sample{7, 0.0f, {}};
  s.complete(outcomes);
  const auto events = s.take_events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].request, 1u);
  EXPECT_EQ(*events[0].finish, FinishReason::error);
  EXPECT_EQ(events[0].error.code, Errc::unavailable);
  EXPECT_EQ(events[1].request, 2u);
  EXPECT_EQ(s.running(), 1u);
}

TEST_F(Scheduling, StopIdsEndASequence) {
  auto& s = make();
  auto asked = request(1, 4, 4);
  asked.sampling.stop_token_ids = {42};
  ASSERT_TRUE(s.admit(asked));
  const auto events = complete(*s.next(TimePoint{}));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(*events[1].finish, FinishReason::stop);
}

TEST_F(Scheduling, DeadlinesEndRunningAndWaitingSequences) {
  settings.running_max = 1;
  auto& s = make();
  const TimePoint later{std::chrono::hours(1)};
  for (RequestId id = 1; id <= 2; ++id) {
    auto asked = request(id, 4, 4);
    asked.deadline = later;
    ASSERT_TRUE(s.admit(asked));
  }
  complete(*s.next(TimePoint{}));
  s.expire(later - std::chrono::seconds(1));
  EXPECT_TRUE(s.take_events().empty());
  s.expire(later);
  const auto events = s.take_events();
  ASSERT_EQ(events.size(), 2u);
  for (const auto& event : events) EXPECT_EQ(event.error.code, Errc::deadline_exceeded);
  EXPECT_TRUE(s.idle());
}

TEST_F(Scheduling, AGatewaysSequencesGoTogether) {
  auto& s = make();
  auto other = request(1, 4, 4);
  other.gateway = 5;
  ASSERT_TRUE(s.admit(request(1, 4, 4)));
  ASSERT_TRUE(s.admit(other));
  s.withdraw_all(0);
  EXPECT_EQ(s.next(TimePoint{})->parts[0].sequence->asked.gateway, 5u);
}

}  // namespace
}  // namespace troupe::actors
