// Admission and ends of sequences.
#include "actors/attention/batch_scheduler.hpp"

#include <algorithm>
#include <string>

namespace troupe::actors {
namespace {

bool stops(const model::SamplingParams& sampling, std::int32_t token) {
  const auto& ids = sampling.stop_token_ids;
  return std::find(ids.begin(), ids.end(), token) != ids.end();
}

}  // namespace

BatchScheduler::BatchScheduler(Settings settings, model::KvPool& pool)
    : settings_(settings), pages_(pool, settings.pages), waiting_(settings.waiting, shares_) {
  TROUPE_CHECK(settings_.chunk > 0 && settings_.step_rows_max > 0 && settings_.running_max > 0,
               "chunk, step_rows_max and running_max are at least 1");
  settings_.running_max = std::min(settings_.running_max, settings_.step_rows_max);
}

std::int64_t BatchScheduler::pages_needed(const SequenceRequest& request) const {
  // The last token drawn is never an input, so it needs no cache entry.
  const std::int64_t inputs =
      request.prompt_tokens + std::max<std::int64_t>(request.sampling.max_tokens - 1, 0);
  return model::KvPool::pages_for(inputs);
}

Expected<void> BatchScheduler::check(const SequenceRequest& request) const {
  const auto total = static_cast<std::int64_t>(request.tokens.size());
  const std::int64_t wanted = request.sampling.max_tokens;
  if (total == 0 || request.prompt_tokens <= 0 || request.prompt_tokens > total)
    return unexpected(Errc::invalid_argument,
                      "the prompt is empty; a request needs at least one token");
  for (std::size_t i = 0; i < request.tokens.size(); ++i) {
    const auto id = request.tokens[i];
    if (id < 0 || id >= settings_.vocab_size)
      return unexpected(Errc::invalid_argument, "token id " + std::to_string(id) + " at position " +
                                                    std::to_string(i) +
                                                    " is outside the vocabulary of " +
                                                    std::to_string(settings_.vocab_size) + " ids");
  }
  const bool replay_is_over =
      total > request.prompt_tokens && total >= request.prompt_tokens + wanted;
  if (wanted < 0 || replay_is_over)
    return unexpected(Errc::invalid_argument, "max_tokens " + std::to_string(wanted) +
                                                  " leaves nothing to generate after " +
                                                  std::to_string(total - request.prompt_tokens));
  if (request.prompt_tokens + wanted > settings_.positions_max)
    return unexpected(Errc::out_of_range, std::to_string(request.prompt_tokens) +
                                              " prompt tokens and max_tokens " +
                                              std::to_string(wanted) + " exceed the model's " +
                                              std::to_string(settings_.positions_max) +
                                              " positions; shorten the prompt or lower max_tokens");
  if (pages_needed(request) > pages_.pages_max())
    return unexpected(Errc::out_of_range,
                      std::to_string(request.prompt_tokens) + " prompt tokens and max_tokens " +
                          std::to_string(wanted) + " need " +
                          std::to_string(pages_needed(request)) + " cache pages, the shard has " +
                          std::to_string(pages_.pages_max()) +
                          "; lower max_tokens or raise the cache size (kv_tokens_max)");
  return {};
}

Expected<void> BatchScheduler::admit(SequenceRequest request, TimePoint now) {
  if (auto fine = check(request); !fine) return fine;
  withdraw(request.gateway, request.request);  // an older attempt would be stale
  auto sequence = std::make_unique<Sequence>();
  sequence->asked = std::move(request);
  sequence->serial = ++last_serial_;
  const auto tenant = sequence->asked.tenant;
  auto dropped = waiting_.push(std::move(sequence), now);
  if (!dropped) return unexpected(dropped.error());
  shares_.arrives(tenant);
  if (*dropped) {
    finish(**dropped, FinishReason::error,
           {Errc::overloaded,
            "the queue is full and this tenant has most of it (waiting_max); try again later"});
    shares_.leaves((*dropped)->asked.tenant);
  }
  return {};
}

void BatchScheduler::forget(const std::vector<OwnedSequence>& gone) {
  for (const auto& sequence : gone) shares_.leaves(sequence->asked.tenant);
}

template <class Condition>
void BatchScheduler::withdraw_if(Condition is_it) {
  forget(waiting_.remove_if([&](const Sequence& s) { return is_it(s.asked); }));
  for (auto& sequence : running_)
    if (is_it(sequence->asked)) sequence->withdrawn = true;
  std::erase_if(events_, is_it);
  if (!step_open()) sweep();
}

void BatchScheduler::withdraw(GatewayIndex gateway, RequestId request) {
  withdraw_if(
      [&](const auto& asked) { return asked.gateway == gateway && asked.request == request; });
}

void BatchScheduler::withdraw_all(GatewayIndex gateway) {
  withdraw_if([&](const auto& asked) { return asked.gateway == gateway; });
}

bool BatchScheduler::has(GatewayIndex gateway, RequestId request) const {
  const auto is_it = [&](const auto& asked) {
    return asked.gateway == gateway && asked.request == request;
  };
  bool waits = false;
  waiting_.for_each([&](const Sequence& s) { waits |= is_it(s.asked); });
  return waits || std::any_of(events_.begin(), events_.end(), is_it) ||
         std::any_of(running_.begin(), running_.end(),
                     [&](const OwnedSequence& s) { return !s->withdrawn && is_it(s->asked); });
}

void BatchScheduler::expire(TimePoint now) {
  TROUPE_CHECK(!step_open(), "deadlines are checked at step boundaries");
  const auto late = [&](const Sequence& s) { return s.asked.deadline && *s.asked.deadline <= now; };
  const Error error{Errc::deadline_exceeded, "the request's deadline has passed"};
  const auto gone = waiting_.remove_if(late);
  for (const auto& sequence : gone) finish(*sequence, FinishReason::error, error);
  forget(gone);
  for (auto& sequence : running_)
    if (late(*sequence)) finish(*sequence, FinishReason::error, error);
  sweep();
}

void BatchScheduler::complete(std::span<const PartOutcome> outcomes) {
  TROUPE_CHECK(outcomes.size() == open_.size(), "one outcome for each part");
  for (std::size_t i = 0; i < open_.size(); ++i) {
    auto& sequence = const_cast<Sequence&>(*open_[i].sequence);  // ours: running_ owns it
    if (!sequence.withdrawn) settle(sequence, open_[i], outcomes[i]);
  }
  open_.clear();
  sweep();
}

void BatchScheduler::settle(Sequence& sequence, const StepPart& part, const PartOutcome& outcome) {
  if (outcome.error) return finish(sequence, FinishReason::error, *outcome.error);
  auto& asked = sequence.asked;
  sequence.computed += part.rows;
  sequence.reported = std::max(sequence.reported, sequence.computed);
  pages_.share(sequence);
  SequenceEvent event = event_of(sequence);
  if (!part.samples) {
    events_.push_back(event);
    if (sequence.pending() == 0) finish(sequence, FinishReason::length, {Errc::ok, {}});
    return;
  }
  if (!outcome.sample) {
    TROUPE_CHECK(outcome.ends, "a sampling part brings a token or ends");
    return finish(sequence, FinishReason::stop, {Errc::ok, {}});
  }
  event.position = static_cast<std::int64_t>(asked.tokens.size());
  event.sample = outcome.sample;
  asked.tokens.push_back(outcome.sample->token);
  shares_.charge(asked.tenant, TenantShares::kGeneratedToken);
  events_.push_back(event);
  if (outcome.ends || stops(asked.sampling, outcome.sample->token))
    finish(sequence, FinishReason::stop, {Errc::ok, {}});
  else if (sequence.generated() >= asked.sampling.max_tokens)
    finish(sequence, FinishReason::length, {Errc::ok, {}});
}

void BatchScheduler::finish(Sequence& sequence, FinishReason reason, Error error) {
  if (sequence.withdrawn) return;
  sequence.withdrawn = true;
  auto event = event_of(sequence);
  event.finish = reason;
  event.error = std::move(error);
  events_.push_back(std::move(event));
}

SequenceEvent BatchScheduler::event_of(const Sequence& sequence) const {
  const auto& asked = sequence.asked;
  SequenceEvent event;
  event.gateway = asked.gateway;
  event.request = asked.request;
  event.attempt = asked.attempt;
  event.position = sequence.computed;
  event.prompt_computed = std::min(sequence.computed, asked.prompt_tokens);
  event.cached = sequence.cached;
  if (sequence.started) event.queued = *sequence.started - asked.arrived;
  return event;
}

void BatchScheduler::sweep() {
  for (auto& sequence : running_) {
    if (!sequence->withdrawn) continue;
    pages_.release(*sequence);
    shares_.leaves(sequence->asked.tenant);
  }
  std::erase_if(running_, [](const OwnedSequence& s) { return s->withdrawn; });
}

std::vector<SequenceEvent> BatchScheduler::take_events() { return std::exchange(events_, {}); }

std::int64_t BatchScheduler::open_tokens() const {
  std::int64_t tokens = 0;
  const auto add = [&](const Sequence& sequence) {
    tokens += static_cast<std::int64_t>(sequence.asked.tokens.size());
  };
  for (const auto& sequence : running_) add(*sequence);
  waiting_.for_each(add);
  return tokens;
}

std::optional<TimePoint> BatchScheduler::oldest() const {
  std::optional<TimePoint> oldest;
  const auto look = [&](const Sequence& sequence) {
    if (!oldest || sequence.asked.arrived < *oldest) oldest = sequence.asked.arrived;
  };
  for (const auto& sequence : running_) look(*sequence);
  waiting_.for_each(look);
  return oldest;
}

}  // namespace troupe::actors
