// One request from submission to its end: what a session knows and decides. No CAF here.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/gateway/replay_book.hpp"
#include "actors/request.hpp"
#include "proto/frames/bodies.hpp"
#include "transport/link.hpp"

namespace troupe::actors {

/// What a session asks its gateway to submit.
struct SubmitOrder {
  RequestId request = 0;
  std::uint32_t attempt = 0;
  std::shared_ptr<const GenerateRequest> asked;
  std::vector<std::int32_t> tokens;          // the prompt, then what was generated so far
  std::optional<Clock::duration> remaining;  // until the request's deadline
};

/// A Tokens frame for one session.
struct TokensNote {
  std::uint32_t attempt = 0;
  std::vector<proto::TokenEntry> entries;
  std::vector<model::TokenLogprob> top;  // as many for each entry, best first
  std::int64_t prompt_done = 0;
  std::int64_t cached_tokens = 0;
  Clock::duration queued{};
  std::optional<FinishReason> finish;
  Error error{Errc::ok, {}};
};

/// A Logits frame for one session.
struct LogitsNote {
  std::uint32_t attempt = 0;
  std::shared_ptr<const transport::ReceivedFrame> frame;
};

/// A PromptLogprobs frame for one session.
struct PromptLogprobsNote {
  std::uint32_t attempt = 0;
  std::int64_t first_position = 0;
  std::vector<PromptLogprob> logprobs;
};

/// The attempt has ended without a result.
struct BrokenNote {
  std::uint32_t attempt = 0;
  bool shard_lost = false;  // the attention shard is gone: another may go on
  Error error;
};

/// Turns notes into calls of the listener, in order, each token, logprob and logits row once.
/// *Threading*: one owner; the listener is called on the caller's thread.
class SessionCore {
 public:
  SessionCore(RequestId id, GenerateRequest request, std::shared_ptr<RequestListener> listener,
              std::uint32_t attempts_max, TimePoint now);

  enum class Next : std::uint8_t { wait, submit_again, done };

  RequestId id() const { return id_; }
  SubmitOrder order(TimePoint now) const;
  Next on_tokens(const TokensNote& note, TimePoint now);
  Next on_logits(const LogitsNote& note);
  Next on_prompt_logprobs(const PromptLogprobsNote& note);
  Next on_broken(const BrokenNote& note, TimePoint now);
  /// Withdrawn by the caller, or its deadline passed (`error` says which).
  Next give_up(FinishReason reason, const Error& error, TimePoint now);
  bool done() const { return done_; }
  std::optional<TimePoint> deadline() const { return deadline_; }
  const ReplayBook& book() const { return book_; }

 private:
  Next finish(FinishReason reason, const Error& error, TimePoint now);
  Next lost(const Error& error, TimePoint now);
  void on_prompt_rows(std::uint32_t attempt, const proto::Logits& logits, const float* rows);
  void on_generated_rows(std::uint32_t attempt, const proto::Logits& logits, const float* rows);

  RequestId id_;
  std::shared_ptr<const GenerateRequest> asked_;
  std::shared_ptr<RequestListener> listener_;
  ReplayBook book_;
  std::uint32_t attempts_max_;
  TimePoint started_;
  std::optional<TimePoint> first_token_;
  std::optional<TimePoint> deadline_;
  std::int64_t prompt_done_ = 0;
  std::int64_t cached_tokens_ = 0;  // of the first attempt that got to compute
  Clock::duration queue_time_{};
  bool done_ = false;
};

}  // namespace troupe::actors
