// When a load test sends its requests, how many at once, and what it times, against streams that
// the test plays.
#include "services/load/bench_load.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

namespace troupe::services {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using Prompt = std::vector<std::int32_t>;
constexpr std::chrono::minutes kPatience{2};

/// Events one after the other; `wait` comes before each.
class PlayedStream final : public ClientStream {
 public:
  PlayedStream(std::deque<ClientEvent> events, std::function<void()> wait)
      : events_(std::move(events)), wait_(std::move(wait)) {}
  std::optional<ClientEvent> next(milliseconds) override {
    wait_();
    ClientEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  void cancel() override {}

 private:
  std::deque<ClientEvent> events_;
  const std::function<void()> wait_;
};

std::deque<ClientEvent> answer_of(int pieces) {
  std::deque<ClientEvent> events{ClientStart{}};
  for (int i = 0; i < pieces; ++i) events.emplace_back(ClientPiece{{7}, "a"});
  events.emplace_back(ClientEnd{});
  return events;
}

LoadPlan plan_of(std::int64_t requests) {
  LoadPlan plan;
  plan.requests = requests;
  plan.vocabulary = 1000;
  plan.prompt_tokens_min = plan.prompt_tokens_max = 8;
  return plan;
}

void ignore(std::int64_t, std::int64_t) {}

/// How long a request that is one too many is waited for.
constexpr milliseconds kSurplusWait{300};

/// Holds answers back until `wanted` requests are open, and counts them. The first ones wait for
/// one more, which must not come.
class Turnstile {
 public:
  explicit Turnstile(std::size_t wanted) : wanted_(wanted) {}

  std::unique_ptr<ClientStream> send(const Prompt&) {
    std::unique_lock lock(mutex_);
    most_ = std::max(most_, ++open_);
    ++sent_;
    changed_.notify_all();
    const std::size_t round = round_;
    if (++waiting_ == wanted_) {
      if (round == 0) changed_.wait_for(lock, kSurplusWait, [&] { return open_ > wanted_; });
      waiting_ = 0;
      ++round_;
      changed_.notify_all();
    } else if (!changed_.wait_for(lock, kPatience,
                                  [&] { return round_ != round || most_ > wanted_; })) {
      ADD_FAILURE() << "only " << open_ << " requests are open";
    }
    return std::make_unique<PlayedStream>(answer_of(1), [this, ends = 0]() mutable {
      if (++ends < 3) return;  // the end is the third event
      const std::lock_guard end(mutex_);
      --open_;
    });
  }

  const std::size_t wanted_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t open_ = 0, most_ = 0, sent_ = 0, waiting_ = 0, round_ = 0;
};

TEST(ClosedLoop, HasAsManyRequestsOpenAsClients) {
  LoadPlan plan = plan_of(20);
  plan.clients = 5;
  plan.warmup = 10;
  Turnstile turnstile(5);  // an answer comes when five are open: with fewer clients, none does
  const auto result = run_load(
      plan, [&](const Prompt& prompt) { return turnstile.send(prompt); }, ignore);
  EXPECT_EQ(turnstile.most_, 5u);
  EXPECT_EQ(turnstile.sent_, 30u);
  EXPECT_EQ(result.outcomes.size(), 20u);
}

TEST(ClosedLoop, TimesTheFirstTokenAndEachGapInTheirOrder) {
  LoadPlan plan = plan_of(2);
  plan.warmup = 0;
  Clock::time_point now{};
  const std::deque<milliseconds> delays{milliseconds(8), milliseconds(32), milliseconds(4),
                                        milliseconds(16), milliseconds(2)};
  const auto send = [&](const Prompt&) {
    auto left = std::make_shared<std::deque<milliseconds>>(delays);
    return std::make_unique<PlayedStream>(answer_of(3), [&now, left] {
      now += left->front();
      left->pop_front();
    });
  };
  const auto result = run_load(plan, send, ignore, [&] { return now; });
  for (const RequestOutcome& one : result.outcomes) {
    EXPECT_TRUE(one.sent);
    EXPECT_EQ(one.failure, "");
    EXPECT_EQ(one.prompt_tokens, 8);
    EXPECT_EQ(one.generated_tokens, 3);
    EXPECT_DOUBLE_EQ(one.first_token_s, 0.040);  // the start is no token
    EXPECT_EQ(one.gaps_s, (std::vector<float>{0.004F, 0.016F}));
    EXPECT_DOUBLE_EQ(one.whole_s, 0.062);
  }
}

TEST(ClosedLoop, KeepsTheWordsOfAFailure) {
  LoadPlan plan = plan_of(1);
  const auto send = [&](const Prompt&) {
    ClientFailure failure;
    failure.reason = "QUEUE_FULL";
    failure.message = "later";
    ClientEnd end;
    end.failure = failure;
    return std::make_unique<PlayedStream>(std::deque<ClientEvent>{end}, [] {});
  };
  const auto result = run_load(plan, send, ignore);
  EXPECT_EQ(result.outcomes.at(0).failure, "QUEUE_FULL: later");
}

TEST(OpenLoop, SendsEachRequestOnceAndNoneBeforeItIsDue) {
  LoadPlan plan = plan_of(20);
  plan.rate = 200;
  plan.seed = 3;
  std::mutex mutex;
  std::map<Prompt, Clock::time_point> sent;
  const auto begin = Clock::now();
  run_load(
      plan,
      [&](const Prompt& prompt) {
        const std::lock_guard lock(mutex);
        EXPECT_TRUE(sent.emplace(prompt, Clock::now()).second);
        return std::make_unique<PlayedStream>(answer_of(1), [] {});
      },
      ignore);
  const auto due = arrival_times(plan);
  ASSERT_EQ(sent.size(), due.size());
  for (std::size_t i = 0; i < due.size(); ++i) {
    const auto found = sent.find(synthetic_prompt(plan, i));
    ASSERT_NE(found, sent.end()) << i;
    EXPECT_GE(std::chrono::duration<double>(found->second - begin).count(), due[i]) << i;
  }
}

TEST(Arrivals, AreThoseOfTheSeed) {
  LoadPlan plan = plan_of(100);
  plan.rate = 10;
  const auto times = arrival_times(plan);
  EXPECT_EQ(times.size(), 100u);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
  EXPECT_EQ(times, arrival_times(plan));
  LoadPlan faster = plan, other = plan;
  faster.rate = 20;
  other.seed = 1;
  EXPECT_DOUBLE_EQ(arrival_times(faster).back(), times.back() / 2);
  EXPECT_NE(arrival_times(other), times);
}

/// Gaps of a Poisson process: exponential, so their mean and their standard deviation are 1 / rate,
/// and half of them are below log(2) / rate. Bounds are five standard errors of 10,000 gaps.
TEST(Arrivals, HaveTheGapsOfAPoissonProcess) {
  constexpr double kRate = 40, kCount = 10000;
  LoadPlan plan = plan_of(static_cast<std::int64_t>(kCount));
  plan.rate = kRate;
  plan.seed = 11;
  const auto times = arrival_times(plan);
  EXPECT_NEAR(times.back() / kCount, 1 / kRate, 5 / kRate / std::sqrt(kCount));
  double before = 0, below = 0, squares = 0;
  for (const double time : times) {
    const double gap = time - before;
    before = time;
    if (gap < std::log(2.0) / kRate) ++below;
    squares += gap * gap;
  }
  EXPECT_NEAR(below / kCount, 0.5, 5 * 0.5 / std::sqrt(kCount));
  // E gap^2 = 2 / rate^2, its variance 20 / rate^4.
  EXPECT_NEAR(squares / kCount * kRate * kRate, 2, 5 * std::sqrt(20.0 / kCount));
}

}  // namespace
}  // namespace troupe::services
