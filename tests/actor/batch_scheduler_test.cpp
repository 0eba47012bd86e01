// The scheduler alone: which rows a step has, who waits, who ends.
#include "actors/attention/batch_scheduler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace troupe::actors {
namespace {

struct Scheduling : ::testing::Test {
  Scheduling() {
    settings.chunk = 8;
    settings.step_rows_max = 16;
    settings.running_max = 4;
    settings.waiting.waiting_max = 3;
  }
  BatchScheduler& make(std::int64_t pages = 16) {
    settings.pages.idle_pages_max = pages;
    settings.positions_max = 1000;
    settings.vocab_size = 100;
    pool.emplace(model::KvPool::Shape{1, {DType::bf16, 6, 2}, pages});
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

  TimePoint now{std::chrono::hours(1)};
  BatchScheduler::Settings settings;
  std::optional<model::KvPool> pool;
  std::optional<BatchScheduler> scheduler;
};

TEST_F(Scheduling, CutsPromptsIntoChunksAndSamplesAfterTheLast) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 10, 2), now));
  auto first = *s.next(now);
  EXPECT_EQ(rows(first), (Rows{{1, 8}}));
  EXPECT_FALSE(first.parts[0].samples);
  auto events = complete(first);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].prompt_computed, 8);
  auto second = *s.next(now);
  EXPECT_EQ(rows(second), (Rows{{1, 2}}));
  EXPECT_EQ(second.parts[0].first_position, 8);
  EXPECT_TRUE(second.parts[0].samples);
  events = complete(second);
  EXPECT_EQ(events[0].position, 10);
  EXPECT_EQ(events[0].sample->token, 42);
  auto third = *s.next(now);
  EXPECT_EQ(third.batch.tokens, (std::vector<std::int32_t>{42}));
  events = complete(third);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(*events[1].finish, FinishReason::length);
  EXPECT_TRUE(s.idle());
  EXPECT_EQ(s.pages().used(), 0);
}

TEST_F(Scheduling, PutsDecodeRowsBeforePromptChunks) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 3, 5), now));
  complete(*s.next(now));
  ASSERT_TRUE(s.admit(request(2, 30, 5), now));
  ASSERT_TRUE(s.admit(request(3, 30, 5), now));
  auto plan = *s.next(now);
  EXPECT_EQ(rows(plan), (Rows{{1, 1}, {2, 8}, {3, 7}}));  // 16 rows in all
  EXPECT_EQ(plan.parts[1].first_row, 1);
  EXPECT_EQ(plan.parts[2].first_row, 9);
  EXPECT_EQ(plan.batch.rows(), 16);
  complete(plan);
}

TEST_F(Scheduling, LimitsPromptRowsOnlyBesideDecodingSequences) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 20, 5), now));
  auto alone = *s.next(now, 3);
  EXPECT_EQ(rows(alone), (Rows{{1, 8}}));
  complete(alone);
  complete(*s.next(now, 3));
  complete(*s.next(now, 3));
  ASSERT_TRUE(s.admit(request(2, 5, 5), now));
  ASSERT_TRUE(s.admit(request(3, 5, 5), now));
  auto beside = *s.next(now, 3);
  EXPECT_EQ(rows(beside), (Rows{{1, 1}, {2, 3}}));
  complete(beside);
  auto shared = *s.next(now, 3);
  EXPECT_EQ(rows(shared), (Rows{{1, 1}, {2, 2}, {3, 1}}));
  complete(shared);
  auto none = *s.next(now, 0);
  EXPECT_EQ(rows(none), (Rows{{1, 1}, {2, 1}}));  // 2 decodes by now
  complete(none);
  auto on = *s.next(now, 3);
  EXPECT_EQ(rows(on), (Rows{{1, 1}, {2, 1}, {3, 3}}));
  complete(on);
}

TEST_F(Scheduling, GivesEveryDecodingSequenceItsTurn) {
  settings.step_rows_max = settings.running_max = 3;
  auto& s = make();
  settings.waiting.waiting_max = 10;
  for (RequestId id = 1; id <= 3; ++id) ASSERT_TRUE(s.admit(request(id, 1, 100), now));
  std::map<RequestId, int> turns;
  for (int step = 0; step < 12; ++step) {
    auto plan = *s.next(now);
    for (const auto& [id, count] : rows(plan)) turns[id] += static_cast<int>(count);
    complete(plan);
  }
  for (const auto& [id, count] : turns) EXPECT_EQ(count, 12) << id;
}

TEST_F(Scheduling, TakesPagesOnlyAsTheyAreUsed) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 8, 500), now));
  complete(*s.next(now));
  EXPECT_EQ(s.pages().used(), 1);
}

TEST_F(Scheduling, PreemptsTheNewestWhenPagesRunOutAndGoesOnWithItLater) {
  settings.chunk = settings.step_rows_max = 128;
  settings.pages.prefix_cache = false;
  auto& s = make(/*pages=*/3);
  ASSERT_TRUE(s.admit(request(1, 60, 100), now));  // 159 inputs: 3 pages
  ASSERT_TRUE(s.admit(request(2, 60, 100), now));
  std::map<RequestId, std::vector<std::int32_t>> drawn;
  std::map<RequestId, FinishReason> ends;
  std::int32_t token = 0;
  int steps = 0;
  for (; auto plan = s.next(now); ++steps) {
    ASSERT_LT(steps, 1000);
    token = (token + 1) % 100;
    for (const auto& event : complete(*plan, token)) {
      if (event.sample) {
        EXPECT_EQ(event.position, 60 + static_cast<std::int64_t>(drawn[event.request].size()));
        drawn[event.request].push_back(event.sample->token);
      }
      if (event.finish) ends[event.request] = *event.finish;
    }
  }
  EXPECT_EQ(drawn[1].size(), 100u);
  EXPECT_EQ(drawn[2].size(), 100u);
  EXPECT_EQ(ends[1], FinishReason::length);
  EXPECT_EQ(ends[2], FinishReason::length);
  EXPECT_GT(s.preemptions_total(), 0);
  EXPECT_LT(s.preemptions_total(), 10) << "no thrashing";
  EXPECT_TRUE(s.idle());
  EXPECT_EQ(pool->pages_used(), 0);
}

TEST_F(Scheduling, AHigherPriorityTakesPlaceAndPagesOfALowerOne) {
  settings.running_max = 1;
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 4, 50), now));
  complete(*s.next(now));
  auto urgent = request(2, 4, 2);
  urgent.priority = 1;
  ASSERT_TRUE(s.admit(urgent, now));
  EXPECT_EQ(rows(*s.next(now)), (Rows{{2, 4}}));
  EXPECT_EQ(s.preemptions_total(), 1);
  EXPECT_EQ(s.waiting(), 1u);
}

TEST_F(Scheduling, EqualPrioritiesNeverTakeEachOthersPlace) {
  settings.running_max = 1;
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 4, 50), now));
  complete(*s.next(now));
  ASSERT_TRUE(s.admit(request(2, 4, 2), now));
  now += std::chrono::hours(1);
  EXPECT_EQ(rows(*s.next(now)), (Rows{{1, 1}}));
  EXPECT_EQ(s.preemptions_total(), 0);
}

TEST_F(Scheduling, ALowPriorityThatWaitedForLongGetsItsTurn) {
  settings.running_max = 1;
  settings.waiting.waiting_max = 100;
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1000, 4, 1), now));  // priority 0
  RequestId id = 0;
  const auto begin = now;
  for (;; now += std::chrono::milliseconds(500)) {
    ASSERT_LT(now - begin, std::chrono::minutes(2)) << "it starves";
    auto urgent = request(++id, 4, 1);
    urgent.priority = 3;
    ASSERT_TRUE(s.admit(urgent, now));
    auto plan = *s.next(now);
    const bool its_turn = plan.parts[0].sequence->asked.request == 1000;
    complete(plan);
    if (its_turn) break;
  }
  EXPECT_GE(now - begin, 3 * settings.waiting.aging) << "before that the others go first";
}

TEST_F(Scheduling, TenantsTakeTurnsHoweverManyRequestsOneHas) {
  settings.running_max = 1;
  settings.waiting.waiting_max = 100;
  auto& s = make();
  for (RequestId id = 1; id <= 20; ++id) {
    auto flood = request(id, 4, 1);
    flood.tenant = 7;
    ASSERT_TRUE(s.admit(flood, now));
  }
  complete(*s.next(now));
  for (RequestId id = 101; id <= 103; ++id) {
    auto other = request(id, 4, 1);
    other.tenant = 8;
    ASSERT_TRUE(s.admit(other, now));
  }
  std::vector<bool> of_other;
  for (int i = 0; i < 7; ++i) {
    auto plan = *s.next(now);
    of_other.push_back(plan.parts[0].sequence->asked.tenant == 8);
    complete(plan);
  }
  EXPECT_EQ(std::count(of_other.begin(), of_other.begin() + 6, true), 3) << "every second one";
}

TEST_F(Scheduling, AFullQueueTakesARequestInPlaceOfOneOfWhoeverHasMost) {
  settings.running_max = 1;
  auto& s = make();
  const auto of = [&](RequestId id, std::uint64_t tenant) {
    auto asked = request(id, 4, 1);
    asked.tenant = tenant;
    return asked;
  };
  for (RequestId id = 1; id <= 3; ++id) ASSERT_TRUE(s.admit(of(id, 7), now));
  EXPECT_EQ(s.admit(of(4, 7), now).error().code, Errc::overloaded);
  ASSERT_TRUE(s.admit(of(5, 8), now));
  const auto events = s.take_events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].request, 3u) << "the newest";
  EXPECT_EQ(events[0].error.code, Errc::overloaded);
  EXPECT_EQ(s.admit(of(6, 8), now).error().code, Errc::overloaded)
      << "two and one are as even as three can be";
  EXPECT_EQ(s.waiting(), 3u);
  auto lesser = of(7, 9);
  lesser.priority = -1;
  EXPECT_EQ(s.admit(lesser, now).error().code, Errc::overloaded) << "all others are above it";
}

TEST_F(Scheduling, APromptThatBeginsAlikeIsNotComputedAgain) {
  settings.chunk = settings.step_rows_max = 256;
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 130, 1), now));
  complete(*s.next(now));
  EXPECT_EQ(s.pages().used(), 0);
  EXPECT_EQ(s.pages().idle(), 2);
  ASSERT_TRUE(s.admit(request(2, 200, 1), now));
  auto plan = *s.next(now);
  EXPECT_EQ(rows(plan), (Rows{{2, 72}}));
  EXPECT_EQ(plan.parts[0].first_position, 128);
  const auto events = complete(plan);
  EXPECT_EQ(events[0].cached, 128);
  EXPECT_EQ(s.cached_tokens_total(), 128);
}

TEST_F(Scheduling, TheLastPromptTokenIsAlwaysComputed) {
  settings.chunk = settings.step_rows_max = 256;
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 128, 1), now));
  complete(*s.next(now));
  ASSERT_TRUE(s.admit(request(2, 128, 1), now));
  EXPECT_EQ(rows(*s.next(now)), (Rows{{2, 64}}));
}

TEST_F(Scheduling, PromptsWhoseEveryPositionOwesAnAnswerAreComputedInFull) {
  settings.chunk = settings.step_rows_max = 256;
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 130, 1), now));
  complete(*s.next(now));
  auto scored = request(2, 130, 1);
  scored.prompt_logprobs = 0;
  ASSERT_TRUE(s.admit(scored, now));
  auto plan = *s.next(now);
  EXPECT_EQ(rows(plan), (Rows{{2, 130}}));
  complete(plan);
  auto shown = request(3, 130, 1);
  shown.prompt_logits = true;
  ASSERT_TRUE(s.admit(shown, now));
  EXPECT_EQ(rows(*s.next(now)), (Rows{{3, 130}}));
}

TEST_F(Scheduling, SaltsAndTheSwitchKeepPromptsApart) {
  settings.chunk = settings.step_rows_max = 256;
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 130, 1), now));
  complete(*s.next(now));
  auto salted = request(2, 130, 1);
  salted.cache_salt = 5;
  ASSERT_TRUE(s.admit(salted, now));
  auto plan = *s.next(now);
  EXPECT_EQ(rows(plan), (Rows{{2, 130}}));
  complete(plan);
  settings.pages.prefix_cache = false;
  auto& off = make();
  for (RequestId id = 1; id <= 2; ++id) {
    ASSERT_TRUE(off.admit(request(id, 130, 1), now));
    auto whole = *off.next(now);
    EXPECT_EQ(rows(whole), (Rows{{id, 130}}));
    EXPECT_EQ(complete(whole)[0].cached, 0);
  }
  EXPECT_EQ(pool->pages_used(), 0);
}

TEST_F(Scheduling, ChoicesWaitForThePromptThatTheFirstOfThemComputes) {
  settings.chunk = settings.step_rows_max = 100;
  settings.waiting.waiting_max = 10;
  auto& s = make(/*pages=*/32);
  for (RequestId id = 1; id <= 4; ++id) ASSERT_TRUE(s.admit(request(id, 200, 3), now));
  ASSERT_TRUE(s.admit(request(9, 20, 3), now)) << "no page in common: it does not wait";
  std::map<RequestId, std::int64_t> computed;
  while (auto plan = s.next(now)) {
    for (const auto& [id, count] : rows(*plan)) computed[id] += count;
    complete(*plan);
  }
  EXPECT_EQ(computed[1], 200 + 2);
  for (RequestId id = 2; id <= 4; ++id) EXPECT_EQ(computed[id], 200 - 192 + 2) << id;
}

TEST_F(Scheduling, WhoWaitsForAPromptGoesOnAloneWhenItsComputerIsWithdrawn) {
  settings.waiting.waiting_max = 10;
  auto& s = make(/*pages=*/32);
  for (RequestId id = 1; id <= 2; ++id) ASSERT_TRUE(s.admit(request(id, 200, 3), now));
  EXPECT_EQ(rows(*s.next(now)), (Rows{{1, 8}}));
  s.withdraw(0, 1);
  s.complete(std::vector<PartOutcome>(1));
  EXPECT_EQ(rows(*s.next(now)), (Rows{{2, 8}}));
}

TEST_F(Scheduling, RefusesWhatCannotBeServed) {
  auto& s = make(/*pages=*/2);
  const auto code = [&](SequenceRequest asked) {
    const auto admitted = s.admit(std::move(asked), now);
    return admitted ? Errc::ok : admitted.error().code;
  };
  EXPECT_EQ(code(request(1, 0, 5)), Errc::invalid_argument);
  auto wild = request(1, 3, 5);
  wild.tokens[1] = 100;
  EXPECT_EQ(code(wild), Errc::invalid_argument);
  EXPECT_EQ(code(request(1, 990, 11)), Errc::out_of_range);
  EXPECT_EQ(code(request(1, 100, 30)), Errc::out_of_range) << "another time it fits no better";
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
  for (RequestId id = 1; id <= 3; ++id) ASSERT_TRUE(s.admit(request(id, 4, 1), now));
  auto replay = request(9, 4, 4);
  replay.prompt_tokens = 3;
  replay.attempt = 1;
  ASSERT_TRUE(s.admit(replay, now));
  EXPECT_EQ(rows(*s.next(now)), (Rows{{9, 4}}));
}

TEST_F(Scheduling, ALaterAttemptTakesThePlaceOfTheOlderOne) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 4, 4), now));
  auto plan = *s.next(now);
  auto again = request(1, 4, 4);
  again.attempt = 1;
  ASSERT_TRUE(s.admit(again, now));
  EXPECT_TRUE(complete(plan).empty());  // of the older one nothing is told any more
  EXPECT_EQ(s.next(now)->parts[0].sequence->asked.attempt, 1u);
}

TEST_F(Scheduling, AWithdrawnSequenceLeavesAfterTheOpenStep) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 4, 4), now));
  auto plan = *s.next(now);
  s.withdraw(0, 1);
  EXPECT_EQ(s.running(), 1u);
  EXPECT_TRUE(complete(plan).empty());
  EXPECT_TRUE(s.idle());
  EXPECT_EQ(s.pages().used(), 0);
}

TEST_F(Scheduling, AFailedPartEndsItsSequenceOnly) {
  auto& s = make();
  ASSERT_TRUE(s.admit(request(1, 4, 4), now));
  ASSERT_TRUE(s.admit(request(2, 4, 4), now));
  auto plan = *s.next(now);
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
  ASSERT_TRUE(s.admit(asked, now));
  const auto events = complete(*s.next(now));
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
    ASSERT_TRUE(s.admit(asked, now));
  }
  complete(*s.next(now));
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
  ASSERT_TRUE(s.admit(request(1, 4, 4), now));
  ASSERT_TRUE(s.admit(other, now));
  s.withdraw_all(0);
  EXPECT_EQ(s.next(now)->parts[0].sequence->asked.gateway, 5u);
}

}  // namespace
}  // namespace troupe::actors
