// Notes of the attention shard to calls of the listener.
#include "actors/gateway/session_core.hpp"

#include <algorithm>
#include <cstring>

namespace troupe::actors {

SessionCore::SessionCore(RequestId id, GenerateRequest request,
                         std::shared_ptr<RequestListener> listener, std::uint32_t attempts_max,
                         TimePoint now)
    : id_(id),
      asked_(std::make_shared<GenerateRequest>(std::move(request))),
      listener_(std::move(listener)),
      book_(asked_->prompt),
      attempts_max_(attempts_max),
      started_(now) {
  if (asked_->deadline) deadline_ = now + *asked_->deadline;
}

SubmitOrder SessionCore::order(TimePoint now) const {
  SubmitOrder order{id_, book_.attempt(), asked_, {}, std::nullopt};
  order.tokens.assign(book_.tokens().begin(), book_.tokens().end());
  if (deadline_) order.remaining = std::max(*deadline_ - now, Clock::duration{1});
  return order;
}

SessionCore::Next SessionCore::on_tokens(const TokensNote& note, TimePoint now) {
  if (done_) return Next::done;
  if (note.attempt != book_.attempt()) return Next::wait;
  if (note.prompt_done > prompt_done_) {
    if (prompt_done_ == 0) {
      cached_tokens_ = note.cached_tokens;
      queue_time_ = note.queued;
      listener_->on_started(cached_tokens_, queue_time_);
    }
    prompt_done_ = note.prompt_done;
    listener_->on_prompt_progress(prompt_done_, book_.prompt_tokens());
  }
  const auto alternatives = note.entries.empty() ? 0 : note.top.size() / note.entries.size();
  for (std::size_t i = 0; i < note.entries.size(); ++i) {
    const auto& entry = note.entries[i];
    const auto verdict = book_.offer(note.attempt, entry.position, entry.token);
    if (verdict == ReplayBook::Verdict::gap)
      return lost({Errc::internal,
                   "a token before position " + std::to_string(entry.position) + " never came"},
                  now);
    if (verdict != ReplayBook::Verdict::accepted) continue;
    if (!first_token_) first_token_ = now;
    listener_->on_token({entry.position, entry.token, entry.logprob,
                         std::span(note.top).subspan(i * alternatives, alternatives)});
  }
  return note.finish ? finish(*note.finish, note.error, now) : Next::wait;
}

SessionCore::Next SessionCore::on_prompt_logprobs(const PromptLogprobsNote& note) {
  if (done_) return Next::done;
  const auto count = static_cast<std::int64_t>(note.logprobs.size());
  const auto repeated = book_.repeated_prompt_logprobs(note.attempt, note.first_position, count);
  if (repeated < count)
    listener_->on_prompt_logprobs(
        note.first_position + repeated,
        std::span(note.logprobs).subspan(static_cast<std::size_t>(repeated)));
  return Next::wait;
}

SessionCore::Next SessionCore::on_logits(const LogitsNote& note) {
  if (done_) return Next::done;
  if (note.attempt != book_.attempt()) return Next::wait;
  const auto& logits = std::get<proto::Logits>(note.frame->body);
  // Frames lie at 64-byte boundaries and so do their rows; other bytes would have to be copied.
  std::vector<float> moved;
  const auto* rows = reinterpret_cast<const float*>(logits.data.data());
  if (reinterpret_cast<std::uintptr_t>(rows) % alignof(float) != 0) {
    moved.resize(logits.data.size() / sizeof(float));
    std::memcpy(moved.data(), logits.data.data(), logits.data.size());
    rows = moved.data();
  }
  if (logits.source & proto::kPromptLogits) on_prompt_rows(note.attempt, logits, rows);
  if (logits.source & proto::kGeneratedLogits) on_generated_rows(note.attempt, logits, rows);
  return Next::wait;
}

void SessionCore::on_prompt_rows(std::uint32_t attempt, const proto::Logits& logits,
                                 const float* rows) {
  const auto count = static_cast<std::int64_t>(logits.positions.size());
  const std::int64_t first = logits.positions[0];
  for (std::int64_t i = 1; i < count; ++i)
    if (logits.positions[static_cast<std::size_t>(i)] != first + i) return;  // not ours to sort
  const auto repeated = book_.repeated_prompt_rows(attempt, first, count);
  if (repeated >= count) return;
  const auto vocab = static_cast<std::size_t>(logits.vocab);
  const auto fresh = static_cast<std::size_t>(count - repeated);
  listener_->on_prompt_logits(first + repeated, count - repeated,
                              {rows + static_cast<std::size_t>(repeated) * vocab, fresh * vocab});
}

void SessionCore::on_generated_rows(std::uint32_t attempt, const proto::Logits& logits,
                                    const float* rows) {
  const auto vocab = static_cast<std::size_t>(logits.vocab);
  for (std::size_t i = 0; i < logits.positions.size(); ++i) {
    const std::int64_t index = std::int64_t{logits.positions[i]} + 1 - book_.prompt_tokens();
    if (book_.offer_generated_logits(attempt, index))
      listener_->on_generated_logits(index, {rows + i * vocab, vocab});
  }
}

SessionCore::Next SessionCore::on_broken(const BrokenNote& note, TimePoint now) {
  if (done_) return Next::done;
  if (note.attempt != book_.attempt()) return Next::wait;
  return note.shard_lost ? lost(note.error, now) : finish(FinishReason::error, note.error, now);
}

SessionCore::Next SessionCore::lost(const Error& error, TimePoint now) {
  // All tokens may have come, only their last word not.
  const auto& sampling = asked_->sampling;
  const auto& stop_ids = sampling.stop_token_ids;
  if (book_.generated_tokens() > 0 &&
      std::find(stop_ids.begin(), stop_ids.end(), book_.tokens().back()) != stop_ids.end())
    return finish(FinishReason::stop, {Errc::ok, {}}, now);
  if (sampling.max_tokens > 0 && book_.generated_tokens() >= sampling.max_tokens)
    return finish(FinishReason::length, {Errc::ok, {}}, now);
  if (book_.attempt() + 1 >= attempts_max_) return finish(FinishReason::error, error, now);
  book_.begin_attempt();
  return Next::submit_again;
}

SessionCore::Next SessionCore::give_up(FinishReason reason, const Error& error, TimePoint now) {
  return done_ ? Next::done : finish(reason, error, now);
}

SessionCore::Next SessionCore::finish(FinishReason reason, const Error& error, TimePoint now) {
  done_ = true;
  Usage usage;
  usage.prompt_tokens = book_.prompt_tokens();
  usage.generated_tokens = book_.generated_tokens();
  usage.attempts = book_.attempt() + 1;
  usage.replay_mismatches = book_.mismatches();
  usage.cached_tokens = cached_tokens_;
  usage.queue_time = queue_time_;
  usage.time_to_first_token = first_token_.value_or(now) - started_;
  usage.duration = now - started_;
  const bool failed = reason == FinishReason::error;
  listener_->on_finished(reason, failed ? error : Error{Errc::ok, {}}, usage);
  listener_.reset();
  return Next::done;
}

}  // namespace troupe::actors
