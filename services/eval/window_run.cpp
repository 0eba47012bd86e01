// A listener that keeps what it hears until its request has ended.
#include "services/eval/window_run.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>

namespace troupe::services {
namespace {

constexpr std::chrono::milliseconds kPromptPoll{50};

/// Rows and log-probabilities, `expected` numbers, are the waiting thread's once `wait` said true.
class PromptListener final : public actors::RequestListener {
 public:
  explicit PromptListener(std::size_t expected) : expected_(expected) { values_.reserve(expected); }

  void on_token(const actors::TokenNews&) override {}
  void on_prompt_progress(std::int64_t done, std::int64_t) override { done_ = done; }
  void on_prompt_logits(std::int64_t, std::int64_t, std::span<const float> logits) override {
    values_.insert(values_.end(), logits.begin(), logits.end());
  }
  void on_prompt_logprobs(std::int64_t, std::span<const actors::PromptLogprob> logprobs) override {
    for (const actors::PromptLogprob& one : logprobs) values_.push_back(one.logprob);
  }
  void on_finished(actors::FinishReason reason, const Error& error, const actors::Usage&) override {
    const std::lock_guard lock(mutex_);
    if (reason == actors::FinishReason::error) failure_ = error;
    if (reason == actors::FinishReason::cancelled) failure_ = Error{Errc::cancelled, "interrupted"};
    ended_ = true;
    changed_.notify_all();
  }

  bool wait(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [this] { return ended_; });
  }
  std::int64_t done() const { return done_; }
  Expected<std::vector<float>> take() {
    if (failure_) return unexpected(*failure_);
    if (values_.size() != expected_)
      return unexpected(Errc::internal, "the engine gave " + std::to_string(values_.size()) +
                                            " numbers for a prompt that has " +
                                            std::to_string(expected_) + "; please report this");
    return std::move(values_);
  }

 private:
  std::size_t expected_;
  std::vector<float> values_;
  std::atomic<std::int64_t> done_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::optional<Error> failure_;
};

/// Null when there is no memory for what it is to hear.
std::shared_ptr<PromptListener> listener_for(std::size_t numbers) {
  try {
    return std::make_shared<PromptListener>(numbers);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

/// Computes the prompt of `request`, which gives so many numbers, and nothing behind it.
Expected<std::vector<float>> run_prompt(actors::RequestEngine& engine,
                                        actors::GenerateRequest request, std::size_t numbers,
                                        const PromptWait& wait) {
  request.sampling.temperature = 0;
  request.sampling.max_tokens = 0;
  const auto listener = listener_for(numbers);
  if (listener == nullptr)
    return unexpected(Errc::resource_exhausted,
                      "no memory for the " + std::to_string(numbers * sizeof(float)) +
                          " bytes that " + std::to_string(request.prompt.size()) +
                          " positions give. Lower --context");
  const auto id = engine.submit(std::move(request), listener);
  if (!id) return unexpected(id.error());
  for (bool cancelled = false; !listener->wait(kPromptPoll);) {
    wait.progress(listener->done());
    if (cancelled || !wait.stop()) continue;
    engine.cancel(*id);
    cancelled = true;
  }
  return listener->take();
}

}  // namespace

Expected<std::vector<float>> prompt_logits(actors::RequestEngine& engine,
                                           std::vector<std::int32_t> prompt,
                                           std::int64_t vocabulary, const PromptWait& wait) {
  const std::size_t numbers = prompt.size() * static_cast<std::size_t>(vocabulary);
  actors::GenerateRequest request;
  request.prompt = std::move(prompt);
  request.prompt_logits = true;
  return run_prompt(engine, std::move(request), numbers, wait);
}

Expected<std::vector<float>> prompt_log_probabilities(actors::RequestEngine& engine,
                                                      std::vector<std::int32_t> prompt,
                                                      std::int64_t valid_vocab,
                                                      const PromptWait& wait) {
  const std::size_t numbers = prompt.empty() ? 0 : prompt.size() - 1;
  actors::GenerateRequest request;
  request.prompt = std::move(prompt);
  request.valid_vocab = valid_vocab;
  request.prompt_logprobs = 0;
  return run_prompt(engine, std::move(request), numbers, wait);
}

}  // namespace troupe::services
