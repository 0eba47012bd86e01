// Closed loops are threads that take the next index; open loops are threads started when due.
#include "services/load/bench_load.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/mix64.hpp"
#include "services/runtime/interrupts.hpp"

namespace troupe::services {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPoll{50};

/// Numbers of one seed, the same on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() { return mix64(state_++); }
  /// In [0, bound). The bias of the remainder is below bound / 2^64.
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(bound));
  }
  /// In [0, 1).
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

/// Independent streams of one seed.
Random stream_of(std::uint64_t seed, std::uint64_t index) {
  return Random(mix64(mix64(seed) ^ index));
}

constexpr std::uint64_t kPrefixStream = ~std::uint64_t{0};
constexpr std::uint64_t kArrivalStream = kPrefixStream - 1;
constexpr std::uint64_t kWarmupStreams = std::uint64_t{1} << 40;  // behind those of the requests

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

class Load {
 public:
  Load(const LoadPlan& plan, const SendPrompt& send, const LoadProgress& progress,
       const LoadClock& now)
      : plan_(plan), send_(send), progress_(progress), now_(now) {}

  LoadResult run() {
    run_closed(kWarmupStreams, plan_.warmup);
    outcomes_.assign(static_cast<std::size_t>(plan_.requests), {});
    measuring_ = true;
    ended_ = 0;
    tokens_ = 0;
    const auto begin = Clock::now();
    if (plan_.rate > 0) {
      run_open(begin);
    } else {
      run_closed(0, plan_.requests);
    }
    LoadResult result;
    result.outcomes = std::move(outcomes_);
    result.duration_s = seconds_between(begin, Clock::now());
    result.interrupted = interrupted();
    return result;
  }

 private:
  void run_closed(std::uint64_t first_stream, std::int64_t count) {
    std::atomic<std::int64_t> next{0};
    const auto client = [&] {
      for (std::int64_t i = next++; i < count && !interrupted(); i = next++) {
        ask(first_stream + static_cast<std::uint64_t>(i), now_());
      }
      const std::lock_guard lock(mutex_);
      --running_;
      changed_.notify_one();
    };
    std::vector<std::thread> threads;
    running_ = std::min(plan_.clients, count);
    for (std::int64_t i = running_; i > 0; --i) threads.emplace_back(client);
    show_until([this] { return running_ == 0; });
    for (std::thread& thread : threads) thread.join();
  }

  void run_open(Clock::time_point begin) {
    const std::vector<double> due = arrival_times(plan_);
    std::vector<std::thread> threads(due.size());
    for (std::size_t i = 0; i < due.size() && !interrupted(); ++i) {
      const auto at = begin + std::chrono::duration_cast<Clock::duration>(
                                  std::chrono::duration<double>(due[i]));
      show_until([at] { return Clock::now() >= at; }, at);
      if (interrupted()) break;
      if (!take_place()) continue;
      threads[i] = std::thread([this, i, at] {
        ask(i, at);
        const std::lock_guard lock(mutex_);
        --running_;
        joinable_.push_back(i);
        changed_.notify_one();
      });
      join_ended(threads);
    }
    show_until([this] { return running_ == 0; });
    for (std::thread& thread : threads) {
      if (thread.joinable()) thread.join();
    }
  }

  bool take_place() {
    const std::lock_guard lock(mutex_);
    if (running_ >= plan_.in_flight_max) return false;
    ++running_;
    return true;
  }

  void join_ended(std::vector<std::thread>& threads) {
    std::vector<std::size_t> ended;
    {
      const std::lock_guard lock(mutex_);
      ended.swap(joinable_);
    }
    for (const std::size_t i : ended) threads[i].join();
  }

  /// Shows progress until `done`, at the latest until `until`.
  template <class Done>
  void show_until(Done done, Clock::time_point until = Clock::time_point::max()) {
    std::unique_lock lock(mutex_);
    while (!done()) {
      changed_.wait_until(lock, std::min(until, Clock::now() + kPoll));
      if (measuring_) progress_(ended_, tokens_);
    }
  }

  void ask(std::uint64_t index, Clock::time_point begin) {
    RequestOutcome outcome = follow(index, begin);
    const std::lock_guard lock(mutex_);
    ++ended_;
    if (index < outcomes_.size() && !interrupted()) outcomes_[index] = std::move(outcome);
  }

  RequestOutcome follow(std::uint64_t index, Clock::time_point begin) {
    RequestOutcome outcome;
    outcome.sent = true;
    const auto prompt = synthetic_prompt(plan_, index);
    outcome.prompt_tokens = static_cast<std::int64_t>(prompt.size());
    const auto stream = send_(prompt);
    auto last = begin;
    bool cancelled = false;
    while (true) {
      const auto event = stream->next(kPoll);
      if (interrupted() && !cancelled) {
        stream->cancel();
        cancelled = true;
      }
      if (!event) continue;
      const auto now = now_();
      if (const auto* piece = std::get_if<ClientPiece>(&*event)) {
        hear(*piece, seconds_between(last, now), outcome);
        if (!piece->ids.empty()) last = now;
      } else if (const auto* end = std::get_if<ClientEnd>(&*event)) {
        outcome.whole_s = seconds_between(begin, now);
        if (end->failure) outcome.failure = name_of(*end->failure);
        return outcome;
      }
    }
  }

  void hear(const ClientPiece& piece, double gap_s, RequestOutcome& outcome) {
    if (piece.ids.empty()) return;
    if (outcome.generated_tokens == 0) {
      outcome.first_token_s = gap_s;
    } else {
      outcome.gaps_s.push_back(static_cast<float>(gap_s));
    }
    const auto tokens = static_cast<std::int64_t>(piece.ids.size());
    outcome.generated_tokens += tokens;
    tokens_ += tokens;
  }

  static std::string name_of(const ClientFailure& failure) {
    return (failure.reason.empty() ? "" : failure.reason + ": ") + failure.message;
  }

  const LoadPlan& plan_;
  const SendPrompt& send_;
  const LoadProgress& progress_;
  const LoadClock& now_;
  std::atomic<std::int64_t> tokens_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool measuring_ = false;  // not yet: warming up
  std::int64_t running_ = 0;
  std::int64_t ended_ = 0;
  std::vector<std::size_t> joinable_;
  std::vector<RequestOutcome> outcomes_;
};

}  // namespace

std::vector<std::int32_t> synthetic_prompt(const LoadPlan& plan, std::uint64_t index) {
  Random own = stream_of(plan.seed, index);
  Random shared = stream_of(plan.seed, kPrefixStream);
  const std::int64_t tokens =
      plan.prompt_tokens_min + own.below(plan.prompt_tokens_max - plan.prompt_tokens_min + 1);
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < tokens; ++i) {
    Random& source = i < plan.shared_prefix_tokens ? shared : own;
    ids.push_back(static_cast<std::int32_t>(source.below(plan.vocabulary)));
  }
  return ids;
}

std::vector<double> arrival_times(const LoadPlan& plan) {
  Random random = stream_of(plan.seed, kArrivalStream);
  std::vector<double> times;
  double now = 0;
  for (std::int64_t i = 0; i < plan.requests; ++i) {
    now += -std::log1p(-random.unit()) / plan.rate;  // gaps of a Poisson process are exponential
    times.push_back(now);
  }
  return times;
}

LoadResult run_load(const LoadPlan& plan, const SendPrompt& send, const LoadProgress& progress,
                    const LoadClock& now) {
  return Load(plan, send, progress, now).run();
}

}  // namespace troupe::services
