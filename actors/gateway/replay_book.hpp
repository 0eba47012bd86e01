// What a session keeps of its request so that another attention shard can go on where one was lost.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace troupe::actors {

/// Prompt and generated tokens, and which attempt may add to them.
class ReplayBook {
 public:
  explicit ReplayBook(std::vector<std::int32_t> prompt);

  /// Begins the next attempt (the first is 0); what earlier ones still say is stale from now on.
  std::uint32_t begin_attempt() { return ++attempt_; }
  std::uint32_t attempt() const { return attempt_; }

  enum class Verdict : std::uint8_t {
    accepted,  // the next position: the token is new
    repeated,  // an earlier position, the same token
    mismatch,  // an earlier position, another token: the promise of equal bits is broken
    stale,     // another attempt
    gap,       // beyond the next position: something was lost in between
  };
  /// Judges, and on `accepted` keeps, a token of `attempt` at an absolute `position`.
  Verdict offer(std::uint32_t attempt, std::int64_t position, std::int32_t token);

  /// How many of `rows` prompt logits rows from `first_position` on are repetitions of rows seen in
  /// an earlier attempt; the rest count as seen. All of them when stale or after a gap.
  std::int64_t repeated_prompt_rows(std::uint32_t attempt, std::int64_t first_position,
                                    std::int64_t rows);
  /// The same for the logprobs of prompt positions, which begin at position 1.
  std::int64_t repeated_prompt_logprobs(std::uint32_t attempt, std::int64_t first_position,
                                        std::int64_t count);
  /// Whether the logits of generated token `index` are new.
  bool offer_generated_logits(std::uint32_t attempt, std::int64_t index);

  std::span<const std::int32_t> tokens() const { return tokens_; }  // prompt, then generated
  std::int64_t prompt_tokens() const { return prompt_tokens_; }
  std::int64_t generated_tokens() const { return next_position() - prompt_tokens_; }
  std::int64_t next_position() const { return static_cast<std::int64_t>(tokens_.size()); }
  std::int64_t mismatches() const { return mismatches_; }

 private:
  std::int64_t repeated(std::int64_t& seen, std::uint32_t attempt, std::int64_t first_position,
                        std::int64_t count) const;

  std::vector<std::int32_t> tokens_;
  std::int64_t prompt_tokens_;
  std::int64_t prompt_rows_seen_ = 0;
  std::int64_t prompt_logprobs_seen_ = 1;
  std::int64_t generated_logits_seen_ = 0;
  std::int64_t mismatches_ = 0;
  std::uint32_t attempt_ = 0;
};

}  // namespace troupe::actors
