// Admission, steps and ends of sequences.
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
    : settings_(settings), pool_(pool) {
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
  if (request.grammar.kind != model::GrammarSpec::Kind::none)
    return unexpected(Errc::unsupported,
                      "this shard does not constrain text by a grammar yet; ask without one");
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
  if (pages_needed(request) > pool_.shape().pages_max)
    return unexpected(Errc::resource_exhausted,
                      std::to_string(request.prompt_tokens) + " prompt tokens and max_tokens " +
                          std::to_string(wanted) + " need " +
                          std::to_string(pages_needed(request)) + " cache pages, the shard has " +
                          std::to_string(pool_.shape().pages_max) +
                          "; lower max_tokens or raise the cache size (kv_tokens_max)");
  return {};
}

Expected<void> BatchScheduler::admit(SequenceRequest request) {
  if (auto fine = check(request); !fine) return fine;
  const bool replay = request.attempt > 0;
  if (!replay && waiting_.size() >= settings_.waiting_max)
    return unexpected(
        Errc::overloaded,
        std::to_string(waiting_.size()) + " requests wait already (waiting_max); try again later");
  withdraw(request.gateway, request.request);  // an older attempt would be stale
  auto sequence = std::make_unique<Sequence>();
  sequence->asked = std::move(request);
  const auto goes_after = [&](const Owned& other) {
    if (replay || other->asked.attempt > 0) return replay && other->asked.attempt == 0;
    return other->asked.priority < sequence->asked.priority;
  };
  const auto place = std::find_if(waiting_.begin(), waiting_.end(), goes_after);
  waiting_.insert(place, std::move(sequence));
  return {};
}

void BatchScheduler::withdraw(GatewayIndex gateway, RequestId request) {
  const auto is_it = [&](const Owned& s) {
    return s->asked.gateway == gateway && s->asked.request == request;
  };
  std::erase_if(waiting_, is_it);
  for (auto& sequence : running_)
    if (is_it(sequence)) sequence->withdrawn = true;
  if (!step_open()) sweep();
}

void BatchScheduler::withdraw_all(GatewayIndex gateway) {
  std::erase_if(waiting_, [&](const Owned& s) { return s->asked.gateway == gateway; });
  for (auto& sequence : running_)
    if (sequence->asked.gateway == gateway) sequence->withdrawn = true;
  if (!step_open()) sweep();
}

bool BatchScheduler::has(GatewayIndex gateway, RequestId request) const {
  const auto is_it = [&](const auto& asked) {
    return asked.gateway == gateway && asked.request == request;
  };
  const auto holds = [&](const std::deque<Owned>& queue) {
    return std::any_of(queue.begin(), queue.end(),
                       [&](const Owned& s) { return !s->withdrawn && is_it(s->asked); });
  };
  return holds(waiting_) || holds(running_) || std::any_of(events_.begin(), events_.end(), is_it);
}

void BatchScheduler::expire(TimePoint now) {
  TROUPE_CHECK(!step_open(), "deadlines are checked at step boundaries");
  const auto late = [&](const Owned& s) { return s->asked.deadline && *s->asked.deadline <= now; };
  const Error error{Errc::deadline_exceeded, "the request's deadline has passed"};
  for (auto* queue : {&waiting_, &running_})
    for (auto& sequence : *queue)
      if (late(sequence)) finish(*sequence, FinishReason::error, error);
  std::erase_if(waiting_, [](const Owned& s) { return s->withdrawn; });
  sweep();
}

void BatchScheduler::start_waiting(TimePoint now) {
  while (!waiting_.empty() && static_cast<std::int64_t>(running_.size()) < settings_.running_max) {
    auto& first = *waiting_.front();
    const auto pages = pages_needed(first.asked);
    // First come, first served: a small request behind a large one waits too, so none starves.
    if (pages_reserved_ + pages > pool_.shape().pages_max) return;
    first.pages_reserved = pages;
    pages_reserved_ += pages;
    first.started = now;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

bool BatchScheduler::grow_pages(Sequence& sequence, std::int64_t positions) {
  const auto wanted = static_cast<std::size_t>(model::KvPool::pages_for(positions));
  while (sequence.pages.size() < wanted) {
    const auto page = pool_.allocate();
    if (!page) return false;
    sequence.pages.push_back(*page);
  }
  return true;
}

bool BatchScheduler::add_part(StepPlan& plan, Sequence& sequence, std::int64_t rows) {
  if (!grow_pages(sequence, sequence.computed + rows)) {
    finish(sequence, FinishReason::error,
           {Errc::resource_exhausted, "no memory for another page of the latent cache"});
    return false;
  }
  const auto& tokens = sequence.asked.tokens;
  const bool last = rows == sequence.pending();
  const bool samples = last && sequence.generated() < sequence.asked.sampling.max_tokens;
  plan.parts.push_back({&sequence, plan.batch.rows(), rows, sequence.computed, samples});
  plan.batch.tokens.insert(plan.batch.tokens.end(), tokens.begin() + sequence.computed,
                           tokens.begin() + sequence.computed + rows);
  plan.batch.slices.push_back({sequence.computed, rows, sequence.pages});
  return true;
}

std::optional<StepPlan> BatchScheduler::next(TimePoint now) {
  TROUPE_CHECK(!step_open(), "one step at a time");
  start_waiting(now);
  StepPlan plan;
  const auto rows_left = [&] { return settings_.step_rows_max - plan.batch.rows(); };
  const std::size_t count = running_.size();
  for (std::size_t i = 0; i < count && rows_left() > 0; ++i) {
    auto& sequence = *running_[(decode_start_ + i) % count];
    if (sequence.pending() == 1) add_part(plan, sequence, 1);
  }
  for (std::size_t i = 0; i < count && rows_left() > 0; ++i) {
    auto& sequence = *running_[i];
    if (sequence.pending() <= 1) continue;
    add_part(plan, sequence, std::min({settings_.chunk, sequence.pending(), rows_left()}));
  }
  if (count > 0) decode_start_ = (decode_start_ + 1) % count;
  sweep();  // those that got no page
  if (plan.parts.empty()) return std::nullopt;
  open_ = plan.parts;
  return plan;
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
  SequenceEvent event = event_of(sequence);
  if (!part.samples) {
    events_.push_back(event);
    if (sequence.pending() == 0) finish(sequence, FinishReason::length, {Errc::ok, {}});
    return;
  }
  TROUPE_CHECK(outcome.sample.has_value(), "a sampling part brings a token");
  event.position = static_cast<std::int64_t>(asked.tokens.size());
  event.sample = outcome.sample;
  asked.tokens.push_back(outcome.sample->token);
  events_.push_back(event);
  if (stops(asked.sampling, outcome.sample->token))
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
  if (sequence.started) event.queued = *sequence.started - asked.arrived;
  return event;
}

void BatchScheduler::sweep() {
  for (auto& sequence : running_)
    if (sequence->withdrawn) release(*sequence);
  std::erase_if(running_, [](const Owned& s) { return s->withdrawn; });
}

void BatchScheduler::release(Sequence& sequence) {
  for (const auto page : sequence.pages) pool_.release(page);
  sequence.pages.clear();
  pages_reserved_ -= sequence.pages_reserved;
  sequence.pages_reserved = 0;
}

std::vector<SequenceEvent> BatchScheduler::take_events() { return std::exchange(events_, {}); }

std::optional<TimePoint> BatchScheduler::oldest() const {
  std::optional<TimePoint> oldest;
  for (const auto* queue : {&running_, &waiting_})
    for (const auto& sequence : *queue)
      if (!oldest || sequence->asked.arrived < *oldest) oldest = sequence->asked.arrived;
  return oldest;
}

}  // namespace troupe::actors
