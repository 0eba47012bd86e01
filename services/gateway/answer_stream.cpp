// The bounded place where events of one answer wait.
#include "services/gateway/answer_stream.hpp"

#include <utility>

namespace troupe::services {
namespace {

double seconds(actors::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

ApiError slow_reader(std::size_t bytes) {
  ApiError error;
  error.code = ApiCode::resource_exhausted;
  error.reason = "SLOW_READER";
  error.message = "the client reads too slowly: more than " + std::to_string(bytes) +
                  " bytes of its answer wait. Read faster, or ask for less at once";
  return error;
}

}  // namespace

template <class Change>
void AnswerStream::update(Change change) {
  std::optional<actors::RequestId> withdrawn;
  bool tell = false;
  {
    const std::lock_guard lock(mutex_);
    change();
    if (withdraw_ && id_) {
      withdrawn = id_;
      withdraw_ = false;
    }
    tell = reader_waits_ && pending_since_;
    if (tell) reader_waits_ = false;
  }
  if (withdrawn) engine_.cancel(*withdrawn);
  if (!tell) return;
  if (const auto reader = reader_.lock()) reader->on_events();
}

std::optional<ApiError> AnswerStream::start(const std::shared_ptr<AnswerStream>& self,
                                            PlannedRequest plan,
                                            std::weak_ptr<AnswerReader> reader) {
  {
    const std::lock_guard lock(self->mutex_);
    if (self->cancelled_) return self->withdrawn();
    self->reader_ = std::move(reader);
    self->assembler_.emplace(std::move(plan.form));
    self->wants_progress_ = plan.prompt_progress;
    self->prompt_tokens_ = static_cast<std::int64_t>(plan.request.prompt.size());
    self->started_ = Clock::now();
    if (plan.request.deadline) self->deadline_ = self->started_ + *plan.request.deadline;
  }
  // Not under the lock: the engine may call back at once, from another thread.
  const auto id = self->engine_.submit(std::move(plan.request), self);
  if (!id) {
    if (id.error().code != Errc::unavailable) return from_engine(id.error());
    auto now = self->engine_.readiness();
    if (now.ready()) now = {actors::Readiness::State::starting, id.error().detail};
    return not_ready(now);
  }
  self->update([&] { self->id_ = *id; });
  return std::nullopt;
}

std::optional<AnswerEvent> AnswerStream::take() {
  const std::lock_guard lock(mutex_);
  if (pending_since_) waited_ += Clock::now() - *std::exchange(pending_since_, std::nullopt);
  std::optional<AnswerEvent> event;
  if (progress_) {
    event = *std::exchange(progress_, std::nullopt);
  } else if (!piece_.empty()) {
    event = std::exchange(piece_, {});
  } else if (finish_) {
    event = *std::exchange(finish_, std::nullopt);
  } else if (end_ && !std::exchange(end_taken_, true)) {
    return AnswerEvent(*end_);
  }
  if (!event) {
    reader_waits_ = !end_taken_;
  } else if (progress_ || !piece_.empty() || finish_ || end_) {
    pending_since_ = Clock::now();
  }
  return event;
}

void AnswerStream::cancel() {
  update([this] {
    cancelled_ = true;
    if (!open()) return;
    withdraw_ = true;
    end(withdrawn());  // whatever becomes of the engine
  });
}

void AnswerStream::abort(ApiError error) {
  update([&] {
    if (!open()) return;
    withdraw_ = true;
    end(std::move(error));
  });
}

std::chrono::nanoseconds AnswerStream::waited() const {
  const std::lock_guard lock(mutex_);
  return waited_;
}

std::int64_t AnswerStream::replay_mismatches() const {
  const std::lock_guard lock(mutex_);
  return replay_mismatches_;
}

double AnswerStream::queue_time_s() const {
  const std::lock_guard lock(mutex_);
  return queue_time_s_;
}

Histogram AnswerStream::gaps() const {
  const std::lock_guard lock(mutex_);
  return gaps_;
}

void AnswerStream::mark_pending() {
  if (!pending_since_) pending_since_ = Clock::now();
}

void AnswerStream::end(std::optional<ApiError> error) {
  end_ = AnswerEnd{std::move(error)};
  mark_pending();
}

void AnswerStream::complete(AnswerFinish finish) {
  const auto now = Clock::now();
  finish.prompt_tokens = prompt_tokens_;
  finish.cached_tokens = cached_tokens_;
  finish.generated_tokens = assembler_->tokens();
  finish.duration_s = seconds(now - started_);
  if (first_token_) finish.time_to_first_token_s = seconds(*first_token_ - started_);
  finish_ = std::move(finish);
  end(std::nullopt);
}

void AnswerStream::on_token(const actors::TokenNews& news) {
  update([&] {
    if (!open()) return;
    const auto now = Clock::now();
    if (first_token_)
      gaps_.observe(now - last_token_);
    else
      first_token_ = now;
    last_token_ = now;
    assembler_->push(news, piece_);
    mark_pending();
    if (assembler_->ended()) {
      withdraw_ = true;  // the engine knows nothing of text
      auto match = assembler_->stop_match();
      const auto reason = match ? AnswerFinish::Reason::stop : AnswerFinish::Reason::tool_calls;
      assembler_->finish(piece_);
      complete({reason, std::move(match), std::nullopt});
    } else if (piece_.bytes() > limits_.pending_bytes_max) {
      withdraw_ = true;
      end(slow_reader(limits_.pending_bytes_max));
    }
  });
}

void AnswerStream::on_started(std::int64_t cached_tokens, actors::Clock::duration queue_time) {
  const std::lock_guard lock(mutex_);
  cached_tokens_ = cached_tokens;
  queue_time_s_ = seconds(queue_time);
}

void AnswerStream::on_prompt_logprobs(std::int64_t first_position,
                                      std::span<const actors::PromptLogprob> logprobs) {
  (void)first_position;  // they come in order, each once
  update([&] {
    if (!open()) return;
    piece_.prompt.insert(piece_.prompt.end(), logprobs.begin(), logprobs.end());
    mark_pending();
  });
}

void AnswerStream::on_prompt_progress(std::int64_t done, std::int64_t total) {
  if (!wants_progress_) return;
  update([&] {
    if (!open()) return;
    progress_ = PromptProgress{done, total, cached_tokens_};
    mark_pending();
  });
}

void AnswerStream::on_finished(actors::FinishReason reason, const Error& error,
                               const actors::Usage& usage) {
  update([&] {
    replay_mismatches_ = usage.replay_mismatches;
    withdraw_ = false;
    if (!open()) return;
    if (reason == actors::FinishReason::cancelled) return end(withdrawn());
    if (reason == actors::FinishReason::error) return end(failure(error));
    assembler_->finish(piece_);
    AnswerFinish finish;
    const bool stopped = reason == actors::FinishReason::stop;
    finish.reason = stopped ? AnswerFinish::Reason::stop : AnswerFinish::Reason::length;
    finish.stop_string = assembler_->stop_match();
    if (finish.stop_string) finish.reason = AnswerFinish::Reason::stop;
    if (stopped) finish.stop_id = assembler_->silent_end();
    if (stopped && assembler_->calls() && !finish.stop_string)
      finish.reason = AnswerFinish::Reason::tool_calls;
    complete(std::move(finish));
  });
}

/// A hop's budget that ran out is a service that does not answer, not the client's deadline.
ApiError AnswerStream::failure(const Error& error) const {
  const bool ours =
      error.code == Errc::deadline_exceeded && (!deadline_ || Clock::now() < *deadline_);
  return from_engine(ours ? Error{Errc::unavailable, error.detail} : error);
}

/// Why the engine was told to stop: the client did, its deadline passed, or the engine ends.
ApiError AnswerStream::withdrawn() const {
  if (deadline_ && Clock::now() >= *deadline_) {
    return from_engine({Errc::deadline_exceeded, "the request's deadline has passed"});
  }
  return cancelled_ ? from_engine({Errc::cancelled, ""}) : draining();
}

}  // namespace troupe::services
