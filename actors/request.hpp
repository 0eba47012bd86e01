// What a caller asks of a cluster and what it hears back: the vocabulary of one request.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "model/grammar/grammar_spec.hpp"
#include "model/sampler.hpp"

namespace troupe::actors {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

/// Unique within one gateway for its life; 0 is never used.
using RequestId = std::uint64_t;

struct GenerateRequest {
  std::vector<std::int32_t> prompt;  // not empty
  model::SamplingParams sampling;    // max_tokens 0: only the prompt is computed
  std::int64_t valid_vocab = 0;      // ids at or above are never drawn; 0: the whole vocabulary
  bool prompt_logits = false;
  bool generated_logits = false;
  std::optional<Clock::duration> deadline;      // from submission; checked at step boundaries
  std::optional<std::int32_t> prompt_logprobs;  // alternatives for each prompt position, 0 to 20
  std::uint64_t tenant = 0;                     // whose: tenants share a shard fairly
  std::uint64_t cache_salt = 0;     // computed prompts are shared among equal salts only
  std::int32_t priority = 0;        // higher goes first
  std::uint32_t choices = 1;        // siblings with this prompt (n); sampling.choice says which
  std::int32_t grammar_after = -1;  // the token its grammar begins after (</think>); -1: at once
  model::GrammarSpec grammar{};     // what the generated text has to match
};

/// A token as it was drawn.
struct TokenNews {
  std::int64_t position = 0;  // absolute: the first generated token has the prompt's length
  std::int32_t token = 0;
  float logprob = 0;                         // log-softmax of the raw logits
  std::span<const model::TokenLogprob> top;  // sampling.top_logprobs of them, best first
};

/// A token of the prompt, given what stands before it.
struct PromptLogprob {
  std::int32_t token = 0;
  float logprob = 0;
  std::vector<model::TokenLogprob> top;  // prompt_logprobs of them, best first
  std::int32_t rank = 0;                 // 1: the likeliest of all; ties: lower id first
  friend bool operator==(const PromptLogprob&, const PromptLogprob&) = default;
};

enum class FinishReason : std::uint8_t {
  stop = 0,       // drew a stop id
  length = 1,     // max_tokens reached
  cancelled = 2,  // the caller withdrew
  error = 3,      // see the Error that comes with it
};
std::string_view to_string(FinishReason reason);

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t generated_tokens = 0;
  std::int64_t attempts = 1;           // more than one: it was replayed after a loss
  std::int64_t replay_mismatches = 0;  // must stay 0
  std::int64_t cached_tokens = 0;      // of the prompt, not computed again
  Clock::duration queue_time{};        // on the shard, before its first step
  Clock::duration time_to_first_token{};
  Clock::duration duration{};
};

/// Hears one request. Calls come one after the other, on a thread of the cluster (the session's):
/// they must not block for long and must not throw.
class RequestListener {
 public:
  virtual ~RequestListener() = default;
  virtual void on_token(const TokenNews& news) = 0;
  /// Once, before the first on_prompt_progress and on_token. Of its prompt, `cached_tokens` were
  /// not computed again; for `queue_time` it waited on its shard.
  virtual void on_started(std::int64_t cached_tokens, Clock::duration queue_time) {
    (void)cached_tokens, (void)queue_time;
  }
  /// Prompt positions whose computation is done, of all.
  virtual void on_prompt_progress(std::int64_t done, std::int64_t total) {
    (void)done, (void)total;
  }
  /// Logprobs of consecutive prompt positions, before the first on_token. Every position comes
  /// once, in order; position 0 has none, so the first call says 1.
  virtual void on_prompt_logprobs(std::int64_t first_position,
                                  std::span<const PromptLogprob> logprobs) {
    (void)first_position, (void)logprobs;
  }
  /// Raw logits of consecutive prompt positions. logits [rows, vocab_size]. Every position comes
  /// once, in order.
  virtual void on_prompt_logits(std::int64_t first_position, std::int64_t rows,
                                std::span<const float> logits) {
    (void)first_position, (void)rows, (void)logits;
  }
  /// Raw logits [vocab_size] that generated token `index` is drawn from; before its on_token.
  virtual void on_generated_logits(std::int64_t index, std::span<const float> logits) {
    (void)index, (void)logits;
  }
  /// The last call. `error` is `ok` unless the reason is `error`.
  virtual void on_finished(FinishReason reason, const Error& error, const Usage& usage) = 0;
};

}  // namespace troupe::actors
