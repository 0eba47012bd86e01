// A listener that counts ends, and the loop that waits for them.
#include "services/bench/model_runs.hpp"

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>

#include "actors/attention/batch_scheduler.hpp"
#include "kernels/ops/mla_attention.hpp"

namespace troupe::services {
namespace {

using Stopwatch = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kStopPoll{50};

/// Hears all requests of a batch. *Threading*: any.
class BatchListener final : public actors::RequestListener {
 public:
  /// `cached`: tokens of each prompt that must not be computed again.
  BatchListener(std::size_t requests, std::int64_t cached) : cached_(cached), open_(requests) {}

  void on_token(const actors::TokenNews&) override {}
  void on_finished(actors::FinishReason reason, const Error& error,
                   const actors::Usage& usage) override {
    if (reason == actors::FinishReason::cancelled) {
      end(Error{Errc::cancelled, "a request was cancelled"});
    } else if (reason == actors::FinishReason::error) {
      end(error);
    } else if (usage.cached_tokens < cached_) {
      end(Error{Errc::resource_exhausted,
                "the latent cache had kept " + std::to_string(usage.cached_tokens) + " of " +
                    std::to_string(cached_) + " positions. Lower --depth or --batch"});
    } else {
      end(std::nullopt);
    }
  }
  void end(const std::optional<Error>& failure) {
    const std::lock_guard lock(mutex_);
    if (failure && !failure_) failure_ = failure;
    if (--open_ > 0) return;
    last_ = Stopwatch::now();
    ended_.notify_all();
  }
  bool wait(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return ended_.wait_for(lock, patience, [this] { return open_ == 0; });
  }
  /// After `wait` returned true.
  const std::optional<Error>& failure() const { return failure_; }
  Stopwatch::time_point last() const { return last_; }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::int64_t cached_;
  std::size_t open_;
  std::optional<Error> failure_;
  Stopwatch::time_point last_;
};

}  // namespace

std::string ModelTest::name() const {
  return (kind == Kind::prompt ? "pp" : "tg") + std::to_string(tokens) +
         (depth > 0 ? " @ d" + std::to_string(depth) : "");
}

std::int64_t ModelTest::kv_tokens() const {
  // One position more than a generation computes: the last token drawn has one, too.
  const std::int64_t pages = (tokens + 1 + kernels::kPageTokens - 1) / kernels::kPageTokens;
  const std::int64_t spare = actors::BatchScheduler::spare_pages(sequences - 1);
  return sequences * (depth + (depth > 0 ? 2 : 1) * pages * kernels::kPageTokens) +
         spare * kernels::kPageTokens;
}

std::vector<actors::GenerateRequest> requests_of(
    const ModelTest& test, std::int64_t vocabulary, std::mt19937_64& random,
    std::span<const std::vector<std::int32_t>> filled) {
  const bool prompt = test.kind == ModelTest::Kind::prompt;
  std::vector<actors::GenerateRequest> requests(static_cast<std::size_t>(test.sequences));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    actors::GenerateRequest& request = requests[i];
    if (test.depth > 0) request.prompt = filled[i];
    for (std::int64_t left = prompt ? test.tokens : 1; left > 0; --left)
      request.prompt.push_back(
          static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(vocabulary)));
    request.sampling.temperature = 0;
    request.sampling.max_tokens = prompt ? 0 : static_cast<std::int32_t>(test.tokens);
    request.sampling.ignore_eos = true;
  }
  return requests;
}

Expected<double> seconds_of(actors::RequestEngine& engine,
                            std::vector<actors::GenerateRequest> requests,
                            const std::function<bool()>& stop, std::int64_t cached) {
  const auto listener = std::make_shared<BatchListener>(requests.size(), cached);
  std::vector<actors::RequestId> ids;
  const auto begin = Stopwatch::now();
  for (actors::GenerateRequest& request : requests) {
    const auto id = engine.submit(std::move(request), listener);
    if (id) {
      ids.push_back(*id);
    } else {
      listener->end(id.error());
    }
  }
  for (bool cancelled = false; !listener->wait(kStopPoll);) {
    if (cancelled || !stop()) continue;
    for (const actors::RequestId id : ids) engine.cancel(id);
    cancelled = true;
  }
  if (listener->failure()) return unexpected(*listener->failure());
  return std::chrono::duration<double>(listener->last() - begin).count();
}

MeanDeviation mean_deviation(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto count = static_cast<double>(values.size());
  MeanDeviation found;
  found.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - found.mean) * (value - found.mean);
  if (values.size() > 1) found.deviation = std::sqrt(squares / (count - 1));
  return found;
}

}  // namespace troupe::services
