// Which rows of which sequences the next step of an attention shard computes. Knows nothing of CAF.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "actors/request.hpp"
#include "core/expected.hpp"
#include "model/kv_pages.hpp"
#include "model/step.hpp"

namespace troupe::actors {

/// Which gateway of a shard a request came from.
using GatewayIndex = std::uint32_t;

/// A request as the attention shard knows it.
struct SequenceRequest {
  GatewayIndex gateway = 0;
  RequestId request = 0;
  std::uint32_t attempt = 0;         // counts replays
  std::vector<std::int32_t> tokens;  // the prompt, then what earlier attempts generated
  std::int64_t prompt_tokens = 0;
  model::SamplingParams sampling;
  std::int64_t valid_vocab = 0;
  bool prompt_logits = false;
  bool generated_logits = false;
  std::optional<std::int32_t> prompt_logprobs;  // alternatives for each prompt position
  std::uint64_t tenant = 0;
  std::uint64_t cache_salt = 0;
  std::int32_t priority = 0;
  std::uint32_t choices = 1;
  std::int32_t grammar_after = -1;
  model::GrammarSpec grammar;
  std::optional<TimePoint> deadline;
  TimePoint arrived{};
};

/// A sequence that runs or waits. `asked.tokens` grows with each token drawn.
struct Sequence {
  SequenceRequest asked;
  std::vector<model::PageId> pages;
  std::int64_t pages_reserved = 0;
  std::int64_t computed = 0;           // positions whose cache entries are written
  bool withdrawn = false;              // leaves when the open step is complete
  std::optional<TimePoint> started{};  // when its first step was planned

  std::int64_t pending() const { return static_cast<std::int64_t>(asked.tokens.size()) - computed; }
  std::int64_t generated() const {
    return static_cast<std::int64_t>(asked.tokens.size()) - asked.prompt_tokens;
  }
};

/// The rows of one sequence in a step.
struct StepPart {
  const Sequence* sequence = nullptr;  // unchanged until complete()
  std::int64_t first_row = 0;          // in the batch
  std::int64_t rows = 0;
  std::int64_t first_position = 0;
  bool samples = false;  // its last row yields the next token
};

struct StepPlan {
  model::StepBatch batch;
  std::vector<StepPart> parts;
};

/// What became of one part.
struct PartOutcome {
  std::optional<model::Sample> sample;
  std::optional<Error> error;
};

/// Something a gateway has to be told.
struct SequenceEvent {
  GatewayIndex gateway = 0;
  RequestId request = 0;
  std::uint32_t attempt = 0;
  std::int64_t position = 0;            // of the sample; otherwise the tokens computed so far
  std::int64_t prompt_computed = 0;     // prompt positions done
  std::int64_t cached = 0;              // of them, those found in the cache
  Clock::duration queued{};             // before the first step
  std::optional<model::Sample> sample;  // a token was drawn
  std::optional<FinishReason> finish;   // the last event of this attempt
  Error error{Errc::ok, {}};
};

/// Orders sequences into steps: one row for each running sequence that decodes, then prompt chunks
/// in order of admission, as long as rows are left. A sequence runs only when every page it can
/// ever need is reserved, so running sequences always reach their end and free their pages.
/// *Threading*: one thread; the parts of an open step may be read from compute jobs.
class BatchScheduler {
 public:
  struct Settings {
    std::int64_t chunk = 256;          // prompt rows of one sequence in a step
    std::int64_t step_rows_max = 256;  // rows of a step
    std::int64_t running_max = 256;    // sequences; at most step_rows_max, so all can decode
    std::size_t waiting_max = 1024;
    std::int64_t positions_max = 0;  // the model's max_position_embeddings
    std::int64_t vocab_size = 0;
  };
  BatchScheduler(Settings settings, model::KvPool& pool);

  /// Queues a request: replays first, which are never `overloaded`, then by priority.
  /// *Errors*: `invalid_argument` (empty, id out of the vocabulary, nothing left to generate),
  /// `out_of_range` (longer than the model's positions), `unsupported` (a grammar),
  /// `resource_exhausted` (can never fit the pool), `overloaded` (the queue is full).
  Expected<void> admit(SequenceRequest request);
  /// Removes a request without an event; its pages are free at the latest after the open step.
  void withdraw(GatewayIndex gateway, RequestId request);
  void withdraw_all(GatewayIndex gateway);
  /// Whether the request runs or waits here, or its last event has not been taken yet.
  bool has(GatewayIndex gateway, RequestId request) const;
  /// Ends the sequences whose deadline has passed. Between steps only.
  void expire(TimePoint now);

  /// The next step, or nothing when there is none to compute. Opens it: the next call is complete.
  std::optional<StepPlan> next(TimePoint now);
  /// Closes the open step; one outcome for each part.
  void complete(std::span<const PartOutcome> outcomes);
  /// What happened since the last call, in order.
  std::vector<SequenceEvent> take_events();

  bool step_open() const { return !open_.empty(); }
  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  std::int64_t pages_reserved() const { return pages_reserved_; }
  /// When the oldest one came that runs or waits.
  std::optional<TimePoint> oldest() const;
  bool idle() const { return running_.empty() && waiting_.empty(); }

 private:
  using Owned = std::unique_ptr<Sequence>;
  Expected<void> check(const SequenceRequest& request) const;
  std::int64_t pages_needed(const SequenceRequest& request) const;
  void start_waiting(TimePoint now);
  SequenceEvent event_of(const Sequence& sequence) const;
  bool add_part(StepPlan& plan, Sequence& sequence, std::int64_t rows);
  bool grow_pages(Sequence& sequence, std::int64_t positions);
  void settle(Sequence& sequence, const StepPart& part, const PartOutcome& outcome);
  void finish(Sequence& sequence, FinishReason reason, Error error);
  void sweep();
  void release(Sequence& sequence);

  Settings settings_;
  model::KvPool& pool_;
  std::deque<Owned> waiting_;
  std::deque<Owned> running_;  // in order of admission
  std::vector<StepPart> open_;
  std::vector<SequenceEvent> events_;
  std::int64_t pages_reserved_ = 0;
  std::size_t decode_start_ = 0;  // rotates, so that no decoding sequence is always left out
};

}  // namespace troupe::actors
