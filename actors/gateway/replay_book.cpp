// Which tokens and logits of which attempt count.
#include "actors/gateway/replay_book.hpp"

#include <algorithm>
#include <utility>

namespace troupe::actors {

ReplayBook::ReplayBook(std::vector<std::int32_t> prompt)
    : tokens_(std::move(prompt)), prompt_tokens_(static_cast<std::int64_t>(tokens_.size())) {}

ReplayBook::Verdict ReplayBook::offer(std::uint32_t attempt, std::int64_t position,
                                      std::int32_t token) {
  if (attempt != attempt_ || position < prompt_tokens_) return Verdict::stale;
  if (position > next_position()) return Verdict::gap;
  if (position == next_position()) {
    tokens_.push_back(token);
    return Verdict::accepted;
  }
  if (tokens_[static_cast<std::size_t>(position)] == token) return Verdict::repeated;
  ++mismatches_;
  return Verdict::mismatch;
}

std::int64_t ReplayBook::repeated(std::int64_t& seen, std::uint32_t attempt,
                                  std::int64_t first_position, std::int64_t count) const {
  if (attempt != attempt_ || first_position > seen) return count;
  const auto repeated = std::min(count, seen - first_position);
  seen = std::max(seen, first_position + count);
  return repeated;
}

std::int64_t ReplayBook::repeated_prompt_rows(std::uint32_t attempt, std::int64_t first_position,
                                              std::int64_t rows) {
  return repeated(prompt_rows_seen_, attempt, first_position, rows);
}

std::int64_t ReplayBook::repeated_prompt_logprobs(std::uint32_t attempt,
                                                  std::int64_t first_position, std::int64_t count) {
  return repeated(prompt_logprobs_seen_, attempt, first_position, count);
}

bool ReplayBook::offer_generated_logits(std::uint32_t attempt, std::int64_t index) {
  if (attempt != attempt_ || index != generated_logits_seen_) return false;
  ++generated_logits_seen_;
  return true;
}

}  // namespace troupe::actors
