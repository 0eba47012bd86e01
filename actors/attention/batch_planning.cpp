// Who runs, whose pages go, and how many rows each gets: the planning part of the scheduler.
#include <algorithm>
#include <string>
#include <tuple>

#include "actors/attention/batch_scheduler.hpp"

namespace troupe::actors {
namespace {

/// Waiting sequences that are passed over in one round because others compute their prompts.
constexpr int kAwaitingMax = 64;
constexpr std::int64_t kRunningPerSparePage = 16;

/// Smaller ranks first: the order in which pages are claimed, and the reverse of who loses them.
auto rank(const Sequence& sequence) { return std::pair(-sequence.standing, sequence.serial); }

std::int64_t common_pages(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  const auto length = std::min(a.size(), b.size());
  const auto differ =
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(length), b.begin());
  return (differ.first - a.begin()) / kernels::kPageTokens;
}

std::int64_t pages_of(const Sequence& sequence) {
  return model::KvPool::pages_for(static_cast<std::int64_t>(sequence.asked.tokens.size()));
}

}  // namespace

std::optional<StepPlan> BatchScheduler::next(TimePoint now, std::int64_t prompt_rows_max) {
  TROUPE_CHECK(!step_open(), "one step at a time");
  start_waiting(now);
  claim_rows(now, prompt_rows_max);
  sweep();  // those that got no page at all
  auto plan = plan_of_claims();
  if (plan.parts.empty()) return std::nullopt;
  open_ = plan.parts;
  return plan;
}

void BatchScheduler::start_waiting(TimePoint now) {
  waiting_.begin_round();
  int awaiting = 0;
  while (Sequence* best = waiting_.best(now)) {
    const auto urgency = waiting_.urgency(*best, now);
    if (awaits_another(*best, urgency)) {
      if (++awaiting > kAwaitingMax) return;
      waiting_.pass_over(*best);
      continue;
    }
    // Nobody else passes the first one, so a long request does not wait for ever.
    if (!make_room(*best, now)) return;
    start(waiting_.take(*best, now), urgency, now);
  }
}

bool BatchScheduler::awaits_another(Sequence& waits, std::int64_t urgency) const {
  if (!pages_.shares()) return false;
  const auto computes = [&](const Sequence& other, std::int64_t pages) {
    return other.shared.pages < pages && other.standing >= urgency;
  };
  if (waits.awaited_serial != 0) {
    const auto other = std::find_if(running_.begin(), running_.end(), [&](const auto& s) {
      return s->serial == waits.awaited_serial;
    });
    if (other != running_.end() && computes(**other, waits.awaited_pages)) return true;
    waits.awaited_serial = 0;
  }
  const auto wanted = waits.reusable();
  const auto known = pages_.known(waits).pages;
  for (const auto& other : running_) {
    if (other->pending() <= 1 || other->asked.cache_salt != waits.asked.cache_salt) continue;
    const auto common = common_pages(other->asked.tokens, wanted);
    if (common <= known || !computes(*other, common)) continue;
    waits.awaited_serial = other->serial;
    waits.awaited_pages = common;
    return true;
  }
  return false;
}

/// Pages that running sequences have not taken yet for tokens they already have.
std::int64_t BatchScheduler::pages_promised() const {
  std::int64_t promised = 0;
  for (const auto& sequence : running_)
    promised += pages_of(*sequence) - static_cast<std::int64_t>(sequence->pages.size());
  return promised;
}

std::int64_t BatchScheduler::spare_pages(std::int64_t running) {
  return (running + kRunningPerSparePage - 1) / kRunningPerSparePage;
}

bool BatchScheduler::fits(const Sequence& waits) const {
  if (running_.empty()) return true;  // alone, everything that was admitted does
  const auto known = pages_.known(waits);
  // Pages that are known but idle count as available, so they have to be taken from there too.
  const auto spare = spare_pages(std::ssize(running_));
  return pages_of(waits) - (known.pages - known.idle) + pages_promised() + spare <=
         pages_.available();
}

/// Takes places and pages from running sequences of lower priorities, where that is enough.
bool BatchScheduler::make_room(const Sequence& waits, TimePoint now) {
  const auto urgency = waiting_.urgency(waits, now);
  const auto room = [&] {
    return static_cast<std::int64_t>(running_.size()) < settings_.running_max && fits(waits);
  };
  while (!room()) {
    Sequence* victim = nullptr;
    for (const auto& sequence : running_) {
      const bool below =
          sequence->standing < urgency && sequence->asked.priority != waits.asked.priority;
      if (below && (victim == nullptr || rank(*victim) < rank(*sequence))) victim = sequence.get();
    }
    if (victim == nullptr) return false;
    preempt(*victim, now);
  }
  return true;
}

void BatchScheduler::start(OwnedSequence sequence, std::int64_t urgency, TimePoint now) {
  pages_.find(*sequence);
  sequence->standing = sequence->started ? std::max(sequence->standing, urgency) : urgency;
  if (!sequence->started) {
    sequence->started = now;
    sequence->cached = std::min(sequence->computed, sequence->asked.prompt_tokens);
    cached_tokens_total_ += sequence->cached;
    shares_.charge(sequence->asked.tenant, sequence->pending() * TenantShares::kPromptToken);
  }
  running_.push_back(std::move(sequence));
}

void BatchScheduler::preempt(Sequence& victim, TimePoint now) {
  const auto place = std::find_if(running_.begin(), running_.end(),
                                  [&](const auto& s) { return s.get() == &victim; });
  TROUPE_CHECK(place != running_.end(), "only who runs can be preempted");
  std::erase_if(claims_, [&](const Claim& claim) { return claim.sequence == &victim; });
  pages_.release(victim);
  auto sequence = std::move(*place);
  running_.erase(place);
  waiting_.push_back(std::move(sequence), now);
  ++preemptions_total_;
}

std::vector<Sequence*> BatchScheduler::in_row_order() const {
  std::vector<Sequence*> order;
  for (const auto& sequence : running_) order.push_back(sequence.get());
  const auto key = [this](const Sequence* s) {
    // Rows of decoding sequences first, then prompts; those of one tenant in order of arrival.
    const bool prompt = s->pending() > 1;
    return std::tuple(prompt, -s->standing, prompt ? shares_.served(s->asked.tenant) : 0,
                      s->serial);
  };
  std::sort(order.begin(), order.end(),
            [&](const Sequence* a, const Sequence* b) { return key(a) < key(b); });
  return order;
}

void BatchScheduler::claim_rows(TimePoint now, std::int64_t prompt_rows_max) {
  claims_.clear();
  auto prompt_left = kNoLimit;
  const auto runs = [this](const Sequence* sequence) {
    return std::any_of(running_.begin(), running_.end(),
                       [&](const OwnedSequence& s) { return s.get() == sequence; });
  };
  for (Sequence* sequence : in_row_order()) {
    if (!runs(sequence)) continue;  // preempted a moment ago
    auto left = settings_.step_rows_max;
    for (const auto& claim : claims_) left -= claim.rows;
    const bool prompt = sequence->pending() > 1;
    if (prompt) left = std::min(left, prompt_left);
    if (left == 0) break;
    const auto rows =
        secure(*sequence, std::min({settings_.chunk, sequence->pending(), left}), now);
    if (rows == 0) continue;
    claims_.push_back({sequence, rows});
    if (prompt)
      prompt_left -= rows;
    else
      prompt_left = prompt_rows_max;  // the first prompt comes later
  }
}

/// Pages for `rows` more rows; returns for how many there are some.
std::int64_t BatchScheduler::secure(Sequence& sequence, std::int64_t rows, TimePoint now) {
  const auto room = [&] {
    return static_cast<std::int64_t>(sequence.pages.size()) * kernels::kPageTokens -
           sequence.computed;
  };
  while (room() < rows) {
    if (pages_.grow(sequence)) continue;
    if (Sequence* victim = victim_below(sequence)) {
      preempt(*victim, now);
      continue;
    }
    const bool alone = pages_.used() == static_cast<std::int64_t>(sequence.pages.size());
    if (room() == 0 && alone)
      finish(sequence, FinishReason::error,
             {Errc::resource_exhausted, "no memory for another page of the latent cache"});
    break;
  }
  return sequence.withdrawn ? 0 : std::min(rows, room());
}

/// The last in rank of those behind `sequence` that have pages.
Sequence* BatchScheduler::victim_below(const Sequence& sequence) const {
  Sequence* victim = nullptr;
  for (const auto& other : running_) {
    if (other->pages.empty() || rank(*other) <= rank(sequence)) continue;
    if (victim == nullptr || rank(*victim) < rank(*other)) victim = other.get();
  }
  return victim;
}

StepPlan BatchScheduler::plan_of_claims() {
  StepPlan plan;
  for (const auto& [owner, rows] : claims_) {
    const Sequence& sequence = *owner;
    const auto& tokens = sequence.asked.tokens;
    const bool last = rows == sequence.pending();
    const bool samples = last && sequence.generated() < sequence.asked.sampling.max_tokens;
    plan.parts.push_back({.sequence = &sequence,
                          .first_row = plan.batch.rows(),
                          .rows = rows,
                          .first_position = sequence.computed,
                          .samples = samples,
                          .reported = sequence.reported});
    plan.batch.tokens.insert(plan.batch.tokens.end(), tokens.begin() + sequence.computed,
                             tokens.begin() + sequence.computed + rows);
    plan.batch.slices.push_back({sequence.computed, rows, sequence.pages});
  }
  return plan;
}

}  // namespace troupe::actors
