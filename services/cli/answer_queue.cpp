// A mutex, a condition and a queue.
#include "services/cli/answer_queue.hpp"

namespace troupe::services {

std::optional<AnswerQueue::Event> AnswerQueue::next(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!arrived_.wait_for(lock, patience, [this] { return !events_.empty(); })) return std::nullopt;
  Event event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void AnswerQueue::on_prompt_progress(std::int64_t done, std::int64_t total) {
  push(PromptProgress{done, total});
}

void AnswerQueue::on_token(const actors::TokenNews& news) { push(news.token); }

void AnswerQueue::on_finished(actors::FinishReason reason, const Error& error,
                              const actors::Usage& usage) {
  push(Answer{reason, error, usage, std::nullopt});
}

void AnswerQueue::push(Event event) {
  // Notified under the lock: the waiter may destroy this as soon as it has the last event.
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  arrived_.notify_one();
}

}  // namespace troupe::services
