// Takes turns among answers, and adds them up.
#include "services/gateway/answer_set.hpp"

#include <algorithm>
#include <limits>

namespace troupe::services {

std::optional<ApiError> AnswerSet::start(PlannedRequest plan,
                                         const std::weak_ptr<AnswerReader>& reader) {
  auto stream = std::make_shared<AnswerStream>(state_.engine, limits_);
  state_.answers.add(stream);
  const auto tokens = static_cast<std::int64_t>(plan.request.prompt.size());
  const bool first = plan.request.sampling.choice == 0;
  if (auto error = AnswerStream::start(stream, std::move(plan), reader)) return error;
  answers_.push_back({std::move(stream), tokens, first, false, std::nullopt});
  ++open_;
  return std::nullopt;
}

std::optional<AnswerSet::Event> AnswerSet::take() {
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    const std::size_t at = (turn_ + i) % answers_.size();
    Answer& answer = answers_[at];
    if (answer.ended) continue;
    auto event = answer.stream->take();
    if (!event) continue;
    if (const auto* finish = std::get_if<AnswerFinish>(&*event)) answer.finish = *finish;
    answer.ended = std::holds_alternative<AnswerEnd>(*event);
    if (answer.ended) --open_;
    turn_ = at + 1;
    return Event{at, *std::move(event)};
  }
  return std::nullopt;
}

void AnswerSet::cancel() {
  for (const Answer& answer : answers_) answer.stream->cancel();
}

const AnswerFinish& AnswerSet::last_finish() const {
  const auto last = std::max_element(
      answers_.begin(), answers_.end(),
      [](const Answer& a, const Answer& b) { return a.finish->duration_s < b.finish->duration_s; });
  return *last->finish;
}

/// Choices find in the cache what their siblings have just computed: that was not there before.
AnswerSums AnswerSet::sums() const {
  constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::max();
  AnswerSums sums;
  std::int64_t cached = kUnknown;  // of the prompt at hand, the least of its choices
  const auto settle = [&] {
    if (cached != kUnknown) sums.cached_tokens += cached;
    cached = kUnknown;
  };
  for (const Answer& answer : answers_) {
    if (answer.first_choice) {
      settle();
      sums.prompt_tokens += answer.prompt_tokens;
    }
    if (!answer.finish) continue;
    sums.generated_tokens += answer.finish->generated_tokens;
    cached = std::min(cached, answer.finish->cached_tokens);
  }
  settle();
  return sums;
}

void AnswerSet::record(CallRecord& record, const std::optional<ApiError>& error) const {
  const AnswerSums all = sums();
  record.generated_tokens = all.generated_tokens;
  record.cached_tokens = all.cached_tokens;
  record.replay_mismatches = 0;
  record.token_gaps = Histogram(kLatencyBounds);
  record.finishes.clear();
  const char* broken = error && error->code == ApiCode::cancelled ? "cancelled" : "error";
  std::optional<double> first_token;
  for (const Answer& answer : answers_) {
    const std::chrono::duration<double> waited = answer.stream->waited();
    record.waited_s = std::max(record.waited_s, waited.count());
    record.replay_mismatches += answer.stream->replay_mismatches();
    record.token_gaps.add(answer.stream->gaps());
    record.queue_time_s = std::max(record.queue_time_s, answer.stream->queue_time_s());
    const char* finish = answer.finish ? to_string(answer.finish->reason) : broken;
    ++record.finishes[finish];
    if (!answer.finish) continue;
    const double time = answer.finish->time_to_first_token_s;
    first_token = std::min(first_token.value_or(time), time);
    record.finish = finish;
  }
  record.time_to_first_token_s = first_token.value_or(0);
  if (error && !answers_.empty()) record.finish = broken;
}

const char* to_string(AnswerFinish::Reason reason) {
  switch (reason) {
    case AnswerFinish::Reason::stop: return "stop";
    case AnswerFinish::Reason::length: return "length";
    case AnswerFinish::Reason::tool_calls: return "tool_calls";
  }
  return "stop";
}

}  // namespace troupe::services
