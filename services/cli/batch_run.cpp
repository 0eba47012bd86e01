// Threads that take the next line, ask, and append.
#include "services/cli/batch_run.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "model/config/json_value.hpp"
#include "services/runtime/interrupts.hpp"

namespace troupe::services {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPoll{50};
constexpr std::chrono::seconds kBackOffMax{60};

bool may_go_well_later(const HttpAnswer& answer) {
  return answer.status == 0 || answer.status == 429 || answer.status == 503;
}

/// 1, 2, 4, ... seconds, or what the server asks for.
std::chrono::seconds back_off(const HttpAnswer& answer, std::int64_t attempt) {
  const std::chrono::seconds own(std::int64_t{1} << std::min<std::int64_t>(attempt, 6));
  return std::min(answer.retry_after_s > 0 ? std::chrono::seconds(answer.retry_after_s) : own,
                  kBackOffMax);
}

std::int64_t generated_tokens(const model::JsonValue& body) {
  const auto* usage = body.find("usage");
  const auto* tokens = usage == nullptr ? nullptr : usage->find("completion_tokens");
  return tokens == nullptr ? 0 : tokens->integer().value_or(0);
}

class Batch {
 public:
  Batch(const BatchSettings& settings, BatchReader reader, BatchOutput& output,
        const BatchEndpoint& endpoint)
      : settings_(settings), reader_(std::move(reader)), output_(output), endpoint_(endpoint) {}

  BatchResult run(const BatchProgress& progress) {
    std::vector<std::thread> threads;
    running_ = settings_.parallel;
    for (std::int64_t i = 0; i < settings_.parallel; ++i) threads.emplace_back([this] { work(); });
    {
      std::unique_lock lock(mutex_);
      while (running_ > 0) {
        changed_.wait_for(lock, kPoll);
        progress(result_.totals);
      }
    }
    for (std::thread& thread : threads) thread.join();
    if (const auto synced = output_.sync(); !synced && !result_.stop.output) {
      result_.stop.output = synced.error();
    }
    return std::move(result_);
  }

 private:
  void work() {
    while (auto line = take()) {
      if (!line->problem.empty()) {
        append(refused(*line), 0);
        continue;
      }
      const auto answer = ask(*line);
      if (answer) append_response(*line, *answer);
    }
    const std::lock_guard lock(mutex_);
    --running_;
    changed_.notify_all();
  }

  /// The next line that was not answered before.
  std::optional<BatchLine> take() {
    const std::lock_guard lock(mutex_);
    const auto& before = output_.answered();
    while (!stopped()) {
      auto line = reader_.next();
      if (!line) return std::nullopt;
      if (!std::binary_search(before.begin(), before.end(), line->number)) return line;
    }
    return std::nullopt;
  }

  /// With the lock held.
  bool stopped() {
    if (interrupted()) result_.stop.interrupted = true;
    return result_.stop.interrupted || result_.stop.output || result_.stop.endpoint;
  }

  /// Nothing: the batch stops.
  std::optional<HttpAnswer> ask(const BatchLine& line) {
    for (std::int64_t attempt = 0;; ++attempt) {
      HttpAnswer answer = endpoint_(line.url, line.body);
      if (!may_go_well_later(answer)) return answer;
      std::unique_lock lock(mutex_);
      if (stopped()) return std::nullopt;
      if (attempt >= settings_.retries) {
        result_.stop.endpoint = std::move(answer);
        changed_.notify_all();
        return std::nullopt;
      }
      const auto until = Clock::now() + back_off(answer, attempt);
      while (Clock::now() < until && !stopped()) changed_.wait_for(lock, kPoll);
      if (stopped()) return std::nullopt;
    }
  }

  static BatchAnswer refused(const BatchLine& line) {
    BatchAnswer answer;
    answer.line = line.number;
    answer.custom_id = line.custom_id;
    answer.error_code = "invalid_line";
    answer.error_message = "line " + std::to_string(line.number) + ": " + line.problem;
    return answer;
  }

  void append_response(const BatchLine& line, const HttpAnswer& response) {
    BatchAnswer answer;
    answer.line = line.number;
    answer.custom_id = line.custom_id;
    const auto body = model::parse_json(response.body);
    if (!body) {
      answer.error_code = "invalid_response";
      answer.error_message = "status " + std::to_string(response.status) +
                             " came with a body that is no JSON: " + body.error().detail;
      return append(answer, 0);
    }
    answer.status = response.status;
    answer.request_id = response.request_id;
    answer.body_json = model::to_json(*body);
    append(answer, generated_tokens(*body));
  }

  void append(const BatchAnswer& answer, std::int64_t tokens) {
    const std::lock_guard lock(mutex_);
    if (result_.stop.output) return;
    if (const auto written = output_.append(answer); !written) {
      result_.stop.output = written.error();
      return;
    }
    ++result_.totals.answered;
    result_.totals.failed += answer.status == 200 ? 0U : 1U;
    result_.totals.tokens += tokens;
  }

  const BatchSettings& settings_;
  BatchReader reader_;
  BatchOutput& output_;
  const BatchEndpoint& endpoint_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t running_ = 0;
  BatchResult result_;
};

}  // namespace

Expected<BatchResult> run_batch(const BatchSettings& settings, BatchOutput& output,
                                const BatchEndpoint& endpoint, const BatchProgress& progress) {
  auto reader = BatchReader::open(settings.input);
  if (!reader) return unexpected(reader.error());
  return Batch(settings, *std::move(reader), output, endpoint).run(progress);
}

}  // namespace troupe::services
