// Hears one request on the cluster's threads and hands its tokens to the thread that prints them.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <variant>

#include "actors/request.hpp"
#include "services/cli/answer_source.hpp"

namespace troupe::services {

/// Bounded by the request's steps and max_tokens. *Threading*: listener calls on one thread, `next`
/// on another.
class AnswerQueue final : public actors::RequestListener {
 public:
  using Event = std::variant<PromptProgress, std::int32_t, Answer>;  // a token, or the end

  /// The next event; nothing if none came within `patience`.
  std::optional<Event> next(std::chrono::milliseconds patience);

  void on_prompt_progress(std::int64_t done, std::int64_t total) override;
  void on_token(const actors::TokenNews& news) override;
  void on_finished(actors::FinishReason reason, const Error& error,
                   const actors::Usage& usage) override;

 private:
  void push(Event event);

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Event> events_;
};

}  // namespace troupe::services
