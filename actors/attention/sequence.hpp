// A request as it lives on an attention shard, and what a step knows of it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "actors/request.hpp"
#include "model/grammar/grammar.hpp"
#include "model/prefix_cache.hpp"
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
  bool prompt_ranks = false;                    // with them; gateways of before know none
  std::uint64_t tenant = 0;
  std::uint64_t cache_salt = 0;
  std::int32_t priority = 0;
  std::uint32_t choices = 1;
  std::int32_t grammar_after = -1;
  model::GrammarSpec grammar;
  /// Where it stands in its grammar, made before it is admitted; null: none. Advanced by the step
  /// that draws a token, one at a time.
  std::shared_ptr<model::GrammarState> grammar_state;
  std::optional<TimePoint> deadline;
  TimePoint arrived{};
};

/// A sequence that runs or waits. `asked.tokens` grows with each token drawn.
struct Sequence {
  SequenceRequest asked;
  std::uint64_t serial = 0;  // order of arrival on this shard
  std::int64_t standing =
      0;  // among those that run: its priority, or more where it waited for long
  std::optional<TimePoint> started{};  // when it ran first
  bool withdrawn = false;              // leaves when the open step is complete

  // While it runs. Its first `shared.pages` pages belong to the prefix cache, the others to it.
  std::vector<model::PageId> pages;
  model::PrefixCache::Place shared;
  std::int64_t computed = 0;  // positions whose cache entries are written

  std::int64_t cached = 0;    // prompt positions that it did not compute itself at first
  std::int64_t reported = 0;  // positions whose logits and logprobs have been made
  // While it waits: what another sequence computes right now of its prompt.
  std::uint64_t awaited_serial = 0;
  std::int64_t awaited_pages = 0;

  std::int64_t pending() const { return static_cast<std::int64_t>(asked.tokens.size()) - computed; }
  std::int64_t generated() const {
    return static_cast<std::int64_t>(asked.tokens.size()) - asked.prompt_tokens;
  }
  /// Tokens whose computed pages serve it as well as its own: not the last one, whose row draws the
  /// next, and not those that still owe logits or logprobs.
  std::span<const std::int32_t> reusable() const {
    const bool all_rows = asked.prompt_logits || asked.prompt_logprobs;
    const auto last = static_cast<std::int64_t>(asked.tokens.size()) - 1;
    return std::span(asked.tokens)
        .first(static_cast<std::size_t>(all_rows ? std::min(last, reported) : last));
  }
};

/// The rows of one sequence in a step.
struct StepPart {
  const Sequence* sequence = nullptr;  // unchanged until complete()
  std::int64_t first_row = 0;          // in the batch
  std::int64_t rows = 0;
  std::int64_t first_position = 0;
  bool samples = false;       // its last row yields the next token
  std::int64_t reported = 0;  // positions before this one owe no logits or logprobs any more
};

struct StepPlan {
  model::StepBatch batch;
  std::vector<StepPart> parts;
};

/// What became of one part.
struct PartOutcome {
  std::optional<model::Sample> sample;
  bool ends = false;  // its grammar is complete and nothing can follow
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

}  // namespace troupe::actors
