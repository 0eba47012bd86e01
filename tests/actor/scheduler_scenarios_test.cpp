// The scheduler under thousands of random loads: nothing leaks, mixes, starves or hangs.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

#include "actors/attention/batch_scheduler.hpp"
#include "core/mix64.hpp"

namespace troupe::actors {
namespace {

using Tokens = std::vector<std::int32_t>;

/// What a model is to the scheduler: the cache entry and the token of a position are functions of
/// all tokens up to it.
constexpr std::uint64_t kFirstEntry = 1;
std::uint64_t entry_behind(std::uint64_t entry, std::int32_t token) {
  return mix64(entry ^ static_cast<std::uint64_t>(token));
}
std::int32_t token_after(std::span<const std::int32_t> tokens) {
  std::uint64_t entry = kFirstEntry;
  for (const auto token : tokens) entry = entry_behind(entry, token);
  return static_cast<std::int32_t>(entry % 50);
}

class Scenario {
 public:
  explicit Scenario(std::uint32_t seed) : random_(seed) {
    settings_.chunk = 1 + pick(100);
    settings_.step_rows_max = settings_.chunk + pick(100);
    settings_.running_max = 1 + pick(8);
    settings_.waiting.waiting_max = 1 + static_cast<std::size_t>(pick(12));
    settings_.positions_max = 1000;
    settings_.vocab_size = 50;
    pages_max_ = 4 + pick(12);
    settings_.pages = {pick(4) > 0, pick(static_cast<int>(pages_max_) + 1)};
    pool_.emplace(model::KvPool::Shape{1, {DType::bf16, 6, 2}, pages_max_});
    scheduler_.emplace(settings_, *pool_);
  }

  void run() {
    for (int round = 0; round < 60; ++round) {
      for (int i = pick(4); i > 0; --i) arrive();
      if (pick(10) == 0) withdraw();
      now_ += std::chrono::milliseconds(pick(3000));
      scheduler_->expire(now_);
      step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    // Every sequence may have to be computed again for each one that ranks before it.
    int steps = 0;
    while (!scheduler_->idle()) {
      ASSERT_LT(++steps, 200000) << "no progress";
      step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    take_events();
    EXPECT_TRUE(open_.empty()) << open_.begin()->first << " never ended";
    EXPECT_EQ(scheduler_->pages().used(), 0);
    EXPECT_EQ(pool_->pages_used(), scheduler_->pages().idle());
    EXPECT_LE(scheduler_->pages().idle(), settings_.pages.idle_pages_max);
  }

  std::int64_t preemptions() const { return scheduler_->preemptions_total(); }
  std::int64_t cached() const { return scheduler_->cached_tokens_total(); }
  std::int64_t ended() const { return ended_; }

 private:
  struct Asked {
    Tokens tokens;  // prompt, then what was drawn
    std::int64_t prompt = 0;
    std::int64_t max_tokens = 0;
    bool may_fail = false;
    bool late = false;
  };

  int pick(int count) { return static_cast<int>(random_() % static_cast<std::uint32_t>(count)); }

  void arrive() {
    SequenceRequest request;
    request.request = ++last_;
    request.arrived = now_;
    // Few texts, so that many begin alike.
    const auto length = 1 + pick(pick(3) == 0 ? 250 : 90);
    const auto text = pick(3);
    for (int i = 0; i < length; ++i)
      request.tokens.push_back(static_cast<std::int32_t>((i * 7 + (i > 70 ? text : 0)) % 50));
    if (pick(4) == 0) request.tokens.back() = pick(50);
    request.prompt_tokens = length;
    request.sampling.max_tokens = pick(40);
    request.sampling.stop_token_ids = {3};
    request.tenant = static_cast<std::uint64_t>(pick(3));
    request.cache_salt = static_cast<std::uint64_t>(pick(5) == 0);
    request.priority = pick(3) == 0 ? pick(5) - 2 : 0;
    if (pick(8) == 0) request.prompt_logprobs = 0;
    if (pick(10) == 0) request.prompt_logits = true;
    if (pick(10) == 0) request.deadline = now_ + std::chrono::milliseconds(pick(20000));
    if (request.sampling.max_tokens > 3 && pick(6) == 0) {  // a replay
      request.attempt = 1;
      const auto drawn = pick(2) + 1;
      for (int i = 0; i < drawn; ++i) request.tokens.push_back(4 + pick(40));
    }
    const Asked asked{request.tokens, length, request.sampling.max_tokens, false,
                      request.deadline.has_value()};
    const bool replay = request.attempt > 0;
    const auto admitted = scheduler_->admit(std::move(request), now_);
    if (admitted) {
      open_[last_] = asked;
    } else if (replay) {
      EXPECT_NE(admitted.error().code, Errc::overloaded) << "a replay is never refused";
    }
  }

  void withdraw() {
    if (open_.empty()) return;
    auto gone = open_.begin();
    std::advance(gone, pick(static_cast<int>(open_.size())));
    scheduler_->withdraw(0, gone->first);
    open_.erase(gone);
  }

  void step() {
    auto plan = scheduler_->next(now_);
    take_events();
    if (!plan) {
      ASSERT_TRUE(scheduler_->idle()) << "somebody waits and nothing is computed";
      return;
    }
    check(*plan);
    if (pick(20) == 0) withdraw();  // during the step
    if (pick(20) == 0) arrive();
    std::vector<PartOutcome> outcomes(plan->parts.size());
    for (std::size_t i = 0; i < plan->parts.size(); ++i) {
      const auto& part = plan->parts[i];
      compute(plan->batch.slices[i], *part.sequence);
      if (part.samples)
        outcomes[i].sample = model::Sample{token_after(part.sequence->asked.tokens), 0, {}};
      if (pick(200) != 0) continue;
      outcomes[i].error = Error{Errc::unavailable, "lost"};
      const auto asked = open_.find(part.sequence->asked.request);
      if (asked != open_.end()) asked->second.may_fail = true;
    }
    scheduler_->complete(outcomes);
    EXPECT_LE(scheduler_->pages().used(), pages_max_);
    take_events();
  }

  void check(const StepPlan& plan) {
    ASSERT_FALSE(plan.parts.empty());
    EXPECT_LE(plan.batch.rows(), settings_.step_rows_max);
    EXPECT_LE(scheduler_->running(), static_cast<std::size_t>(settings_.running_max));
    std::set<const Sequence*> once;
    for (const auto& part : plan.parts) {
      EXPECT_TRUE(once.insert(part.sequence).second);
      EXPECT_GE(part.rows, 1);
      EXPECT_LE(part.rows, settings_.chunk);
      const auto& sequence = *part.sequence;
      const auto all = static_cast<std::int64_t>(sequence.asked.tokens.size());
      EXPECT_EQ(part.samples, part.first_position + part.rows == all &&
                                  sequence.generated() < sequence.asked.sampling.max_tokens);
      if ((sequence.asked.prompt_logprobs || sequence.asked.prompt_logits) &&
          sequence.reported < sequence.asked.prompt_tokens) {
        EXPECT_LE(part.first_position, sequence.reported) << "positions that owe an answer";
      }
    }
  }

  /// Reads all positions before the rows and writes those of the rows, as attention would.
  void compute(const model::SequenceSlice& slice, const Sequence& sequence) {
    const std::span<const std::int32_t> tokens(sequence.asked.tokens);
    const auto place = [&](std::int64_t position) {
      const auto page = slice.pages[static_cast<std::size_t>(position / kernels::kPageTokens)];
      return std::pair(page, position % kernels::kPageTokens);
    };
    std::uint64_t entry = kFirstEntry;
    for (std::int64_t i = 0; i < slice.first_position + slice.rows; ++i) {
      entry = entry_behind(entry, tokens[static_cast<std::size_t>(i)]);
      if (i >= slice.first_position) entries_[place(i)] = entry;
      ASSERT_EQ(entries_.at(place(i)), entry)
          << "position " << i << " of request " << sequence.asked.request;
    }
  }

  void take_events() {
    for (const auto& event : scheduler_->take_events()) {
      const auto entry = open_.find(event.request);
      ASSERT_NE(entry, open_.end()) << "news of request " << event.request << ", which is over";
      auto& asked = entry->second;
      if (event.sample) {
        EXPECT_EQ(event.position, static_cast<std::int64_t>(asked.tokens.size()));
        EXPECT_EQ(event.sample->token, token_after(asked.tokens)) << "other bits";
        asked.tokens.push_back(event.sample->token);
      }
      if (event.finish) finish(event, asked);
    }
  }

  void finish(const SequenceEvent& event, const Asked& asked) {
    const auto drawn = static_cast<std::int64_t>(asked.tokens.size()) - asked.prompt;
    if (*event.finish == FinishReason::length) {
      EXPECT_EQ(drawn, asked.max_tokens);
    }
    if (*event.finish == FinishReason::stop) {
      EXPECT_EQ(asked.tokens.back(), 3);
    }
    if (*event.finish == FinishReason::error) {
      const auto code = event.error.code;
      EXPECT_TRUE((code == Errc::unavailable && asked.may_fail) ||
                  (code == Errc::deadline_exceeded && asked.late) || code == Errc::overloaded)
          << event.error.detail;
    }
    ++ended_;
    open_.erase(event.request);
  }

  std::mt19937 random_;
  BatchScheduler::Settings settings_;
  std::int64_t pages_max_ = 0;
  std::optional<model::KvPool> pool_;
  std::optional<BatchScheduler> scheduler_;
  std::map<RequestId, Asked> open_;
  std::map<std::pair<model::PageId, std::int64_t>, std::uint64_t> entries_;  // of the cache
  RequestId last_ = 0;
  TimePoint now_{std::chrono::hours(1)};
  std::int64_t ended_ = 0;
};

TEST(SchedulerScenarios, LeakMixAndHangNothing) {
  std::int64_t preemptions = 0, cached = 0, ended = 0;
  for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Scenario scenario(seed);
    scenario.run();
    if (HasFailure()) return;
    preemptions += scenario.preemptions();
    cached += scenario.cached();
    ended += scenario.ended();
  }
  // The loads do what they are for.
  EXPECT_GT(preemptions, 1000);
  EXPECT_GT(cached, 10000);
  EXPECT_GT(ended, 20000);
}

/// Two tenants with requests waiting at all times, of which one asks for much more at once.
TEST(SchedulerScenarios, BackloggedTenantsAreServedAlikeWithinTheBound) {
  for (std::uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    BatchScheduler::Settings settings;
    settings.chunk = settings.step_rows_max = 64;
    settings.running_max = 4;
    settings.positions_max = 1000;
    settings.vocab_size = 50;
    constexpr std::int64_t kPromptMax = 100, kTokensMax = 30;
    model::KvPool pool({1, {DType::bf16, 6, 2}, 64});
    BatchScheduler scheduler(settings, pool);
    const TimePoint now{std::chrono::hours(1)};
    RequestId last = 0;
    std::map<std::uint64_t, std::int64_t> received, waiting;
    std::map<RequestId, std::uint64_t> tenant_of;
    const auto arrive = [&](std::uint64_t tenant) {
      SequenceRequest request;
      request.request = ++last;
      const auto scale = tenant == 1 ? 10 : 1;  // the greedy one
      const auto length = 1 + random() % static_cast<std::uint32_t>(10 * scale);
      request.tokens.assign(length, static_cast<std::int32_t>(random() % 50));
      request.prompt_tokens = length;
      request.tenant = tenant;
      request.sampling.max_tokens = 1 + static_cast<std::int32_t>(random() % (3u * scale));
      tenant_of[last] = tenant;
      ASSERT_TRUE(scheduler.admit(std::move(request), now));
      ++waiting[tenant];
    };
    for (int step = 0; step < 400; ++step) {
      for (const std::uint64_t tenant : {1, 2})
        while (waiting[tenant] < 5) arrive(tenant);
      auto plan = *scheduler.next(now);
      std::vector<PartOutcome> outcomes(plan.parts.size());
      for (std::size_t i = 0; i < plan.parts.size(); ++i) {
        const auto& part = plan.parts[i];
        received[part.sequence->asked.tenant] +=
            part.first_position < part.sequence->asked.prompt_tokens ? part.rows : 0;
        if (!part.samples) continue;
        outcomes[i].sample = model::Sample{5, 0, {}};
        received[part.sequence->asked.tenant] += 2;
      }
      scheduler.complete(outcomes);
      for (const auto& event : scheduler.take_events())
        if (event.finish) --waiting[tenant_of.at(event.request)];
      // Sheng et al., theorem 4.4: twice the larger of a prompt and the output of a whole batch.
      const auto bound = 2 * std::max(kPromptMax, 2 * settings.running_max * kTokensMax);
      ASSERT_LE(std::abs(received[1] - received[2]), bound) << "step " << step;
      ASSERT_LE(std::abs(scheduler.shares().served(1) - scheduler.shares().served(2)), bound);
    }
    EXPECT_GT(received[1], 2000) << "the bound is small against what was served";
  }
}

}  // namespace
}  // namespace troupe::actors
