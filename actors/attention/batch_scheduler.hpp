// Which rows of which sequences the next step of an attention shard computes. Knows nothing of CAF.
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "actors/attention/sequence.hpp"
#include "actors/attention/sequence_pages.hpp"
#include "actors/attention/tenant_shares.hpp"
#include "actors/attention/waiting_queue.hpp"
#include "core/expected.hpp"
#include "model/kv_pages.hpp"

namespace troupe::actors {

/// Orders sequences into steps: one row for each running sequence that decodes, then chunks of
/// prompts, as long as rows are left; prompts by priority, then by what their tenants were served.
///
/// Pages are taken as they are needed. When none is left, the running sequence of the lowest
/// priority, the newest among equals, gives its pages back, waits, and is computed again later: the
/// same tokens, so the same bits. Every sequence fits the pool alone and may take pages from all
/// that rank below it, so the one that ranks first always gets on: all reach their end.
///
/// Where a running sequence is computing pages that a waiting one begins with as well (n choices of
/// one request above all), the waiting one lets it finish them: a prompt is computed once.
/// *Threading*: one thread; the parts of an open step may be read from compute jobs.
class BatchScheduler {
 public:
  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
  struct Settings {
    std::int64_t chunk = 512;          // prompt rows of one sequence in a step
    std::int64_t step_rows_max = 512;  // rows of a step
    std::int64_t running_max = 512;    // sequences; at most step_rows_max, so all can decode
    WaitingQueue::Settings waiting;
    SequencePages::Settings pages;
    std::int64_t positions_max = 0;  // the model's max_position_embeddings
    std::int64_t vocab_size = 0;
  };
  BatchScheduler(Settings settings, model::KvPool& pool);
  /// Pages that stay free when a sequence starts beside `running` others: each of them will need
  /// another page within 64 steps, and some soon. So a pool that n sequences fill to the last page
  /// runs fewer than n at once.
  static std::int64_t spare_pages(std::int64_t running);

  /// Queues a request; replays are never `overloaded`. Where a request of another tenant has to
  /// make room for it, that one ends as `overloaded`.
  /// *Errors*: `invalid_argument` (empty, id out of the vocabulary, nothing left to generate),
  /// `out_of_range` (longer than the model's positions), `resource_exhausted` (can never fit the
  /// pool), `overloaded` (the queue is full).
  Expected<void> admit(SequenceRequest request, TimePoint now);
  /// Removes a request and all of its events; its pages are free at the latest after the open step.
  void withdraw(GatewayIndex gateway, RequestId request);
  void withdraw_all(GatewayIndex gateway);
  /// Whether the request runs or waits here, or its last event has not been taken yet.
  bool has(GatewayIndex gateway, RequestId request) const;
  /// Ends the sequences whose deadline has passed. Between steps only.
  void expire(TimePoint now);

  /// The next step, or nothing when there is none to compute. Opens it: the next call is complete.
  /// Where a sequence decodes, prompts have at most `prompt_rows_max` rows of it.
  std::optional<StepPlan> next(TimePoint now, std::int64_t prompt_rows_max = kNoLimit);
  /// Closes the open step; one outcome for each part.
  void complete(std::span<const PartOutcome> outcomes);
  /// What happened since the last call, in order.
  std::vector<SequenceEvent> take_events();

  bool step_open() const { return !open_.empty(); }
  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  const SequencePages& pages() const { return pages_; }
  const TenantShares& shares() const { return shares_; }
  /// Of all that run or wait.
  std::int64_t open_tokens() const;
  std::int64_t preemptions_total() const { return preemptions_total_; }
  std::int64_t cached_tokens_total() const { return cached_tokens_total_; }
  /// When the oldest one came that runs or waits.
  std::optional<TimePoint> oldest() const;
  bool idle() const { return running_.empty() && waiting_.empty(); }

 private:
  struct Claim {
    Sequence* sequence = nullptr;
    std::int64_t rows = 0;
  };

  Expected<void> check(const SequenceRequest& request) const;
  std::int64_t pages_needed(const SequenceRequest& request) const;
  void start_waiting(TimePoint now);
  bool awaits_another(Sequence& waits, std::int64_t urgency) const;
  bool make_room(const Sequence& waits, TimePoint now);
  bool fits(const Sequence& waits) const;
  std::int64_t pages_promised() const;
  void start(OwnedSequence sequence, std::int64_t urgency, TimePoint now);
  std::vector<Sequence*> in_row_order() const;
  void claim_rows(TimePoint now, std::int64_t prompt_rows_max);
  std::int64_t secure(Sequence& sequence, std::int64_t rows, TimePoint now);
  Sequence* victim_below(const Sequence& sequence) const;
  void preempt(Sequence& victim, TimePoint now);
  StepPlan plan_of_claims();
  SequenceEvent event_of(const Sequence& sequence) const;
  void settle(Sequence& sequence, const StepPart& part, const PartOutcome& outcome);
  void finish(Sequence& sequence, FinishReason reason, Error error);
  template <class Condition>
  void withdraw_if(Condition is_it);
  void forget(const std::vector<OwnedSequence>& gone);
  void sweep();

  Settings settings_;
  SequencePages pages_;
  TenantShares shares_;
  WaitingQueue waiting_;
  std::vector<OwnedSequence> running_;  // in order of their starts
  std::vector<Claim> claims_;           // of the step being planned
  std::vector<StepPart> open_;
  std::vector<SequenceEvent> events_;
  std::uint64_t last_serial_ = 0;
  std::int64_t preemptions_total_ = 0;
  std::int64_t cached_tokens_total_ = 0;
};

}  // namespace troupe::actors
