// A listener that records everything and lets a test wait for the end of its request.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "actors/request.hpp"

namespace troupe::actors::testing {

/// *Threading*: the cluster calls, one test thread waits.
class Recorder : public RequestListener {
 public:
  void on_token(const TokenNews& news) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(finished_) << "a token after on_finished";
    positions.push_back(news.position);
    tokens.push_back(news.token);
    top.emplace_back(news.top.begin(), news.top.end());
    std::uint32_t bits;
    std::memcpy(&bits, &news.logprob, sizeof bits);
    logprob_bits.push_back(bits);
    changed_.notify_all();
  }
  void on_prompt_progress(std::int64_t done, std::int64_t) override {
    std::lock_guard lock(mutex_);
    prompt_done = done;
  }
  void on_prompt_logprobs(std::int64_t first_position,
                          std::span<const PromptLogprob> logprobs) override {
    std::lock_guard lock(mutex_);
    EXPECT_EQ(first_position, 1 + static_cast<std::int64_t>(prompt_logprobs.size()));
    EXPECT_TRUE(tokens.empty()) << "after a token";
    prompt_logprobs.insert(prompt_logprobs.end(), logprobs.begin(), logprobs.end());
  }
  void on_prompt_logits(std::int64_t first_position, std::int64_t rows,
                        std::span<const float> logits) override {
    std::lock_guard lock(mutex_);
    EXPECT_EQ(first_position, prompt_rows);
    prompt_rows += rows;
    prompt_logits.insert(prompt_logits.end(), logits.begin(), logits.end());
  }
  void on_generated_logits(std::int64_t index, std::span<const float> logits) override {
    std::lock_guard lock(mutex_);
    EXPECT_EQ(index, generated_rows);
    ++generated_rows;
    generated_logits.insert(generated_logits.end(), logits.begin(), logits.end());
  }
  void on_finished(FinishReason reason, const Error& error, const Usage& usage) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(finished_) << "finished twice";
    finished_ = true;
    this->reason = reason;
    this->error = error;
    this->usage = usage;
    changed_.notify_all();
  }

  /// False when it does not end within a generous time.
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(4), [this] { return finished_; });
  }
  /// Until `count` tokens have come (or it has ended).
  bool wait_for_tokens(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(4),
                             [&] { return finished_ || tokens.size() >= count; });
  }
  bool finished() {
    std::lock_guard lock(mutex_);
    return finished_;
  }

  std::vector<std::int64_t> positions;
  std::vector<std::int32_t> tokens;
  std::vector<std::uint32_t> logprob_bits;
  std::vector<std::vector<model::TokenLogprob>> top;  // of each token
  std::vector<PromptLogprob> prompt_logprobs;
  std::int64_t prompt_done = 0;
  std::int64_t prompt_rows = 0;
  std::int64_t generated_rows = 0;
  std::vector<float> prompt_logits;
  std::vector<float> generated_logits;
  FinishReason reason = FinishReason::error;
  Error error;
  Usage usage;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false;
};

/// A greedy request that never stops early.
inline GenerateRequest greedy(std::vector<std::int32_t> prompt, std::int32_t max_tokens) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  request.sampling.ignore_eos = true;
  return request;
}

}  // namespace troupe::actors::testing
