// What a caller asks of a cluster and what it hears back: the vocabulary of one request.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.hpp"
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
  std::optional<Clock::duration> deadline;  // from submission; checked at step boundaries
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
  Clock::duration time_to_first_token{};
  Clock::duration duration{};
};

/// Hears one request. Calls come one after the other, on a thread of the cluster (the session's):
/// they must not block for long and must not throw.
class RequestListener {
 public:
  virtual ~RequestListener() = default;
  /// `position` is absolute: the first generated token has the prompt's length. `logprob` is
  /// log-softmax of the raw logits.
  virtual void on_token(std::int64_t position, std::int32_t token, float logprob) = 0;
  /// Prompt positions whose computation is done, of all.
  virtual void on_prompt_progress(std::int64_t done, std::int64_t total) {
    (void)done, (void)total;
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
