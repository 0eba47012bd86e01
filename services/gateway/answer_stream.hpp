// One answer between the engine, which never waits, and a client, who may be slow.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>

#include "actors/request_engine.hpp"
#include "core/histogram.hpp"
#include "services/gateway/answer_assembler.hpp"
#include "services/gateway/api_error.hpp"
#include "services/gateway/request_planner.hpp"

namespace troupe::services {

struct PromptProgress {
  std::int64_t done = 0;
  std::int64_t total = 0;
  std::int64_t cached_tokens = 0;  // of those done, not computed again
};

/// The answer is complete.
struct AnswerFinish {
  enum class Reason : std::uint8_t { stop, length, tool_calls } reason = Reason::stop;
  std::optional<std::string> stop_string;  // what ended it, or
  std::optional<std::int32_t> stop_id;     // the id that did
  std::int64_t prompt_tokens = 0;
  std::int64_t generated_tokens = 0;
  std::int64_t cached_tokens = 0;  // of the prompt, not computed again
  double time_to_first_token_s = 0;
  double duration_s = 0;
};

/// The stream's last event: it went well, or not.
struct AnswerEnd {
  std::optional<ApiError> error;
};

using AnswerEvent = std::variant<PromptProgress, AnswerPiece, AnswerFinish, AnswerEnd>;

/// Whoever takes events, when there are some again.
class AnswerReader {
 public:
  virtual ~AnswerReader() = default;
  /// From a thread of the engine, without locks held. Must not block.
  virtual void on_events() = 0;
};

/// Events wait joined: what a slow client has not taken is one piece and one progress. More than
/// `pending_bytes_max` of it end the stream with RESOURCE_EXHAUSTED / SLOW_READER and withdraw the
/// request. *Threading*: one reader; `cancel` from any thread; the listener's calls come from the
/// engine.
class AnswerStream final : public actors::RequestListener {
 public:
  struct Limits {
    std::size_t pending_bytes_max = std::size_t{1} << 20;
  };
  AnswerStream(actors::RequestEngine& engine, Limits limits) : engine_(engine), limits_(limits) {}

  /// Submits `plan` to the engine. `reader` hears of the first event after `take` gave nothing.
  /// `self` is this. Returns why nothing was started, and then nothing comes.
  static std::optional<ApiError> start(const std::shared_ptr<AnswerStream>& self,
                                       PlannedRequest plan, std::weak_ptr<AnswerReader> reader);

  /// The next event, or nothing: then the reader is told when there is one. Nothing follows an
  /// AnswerEnd.
  std::optional<AnswerEvent> take();
  /// The client is gone. The end comes as CANCELLED, or DEADLINE_EXCEEDED past the deadline.
  void cancel();
  /// The gateway gives it up: it ends with `error`, unless it has ended.
  void abort(ApiError error);
  /// How long events have waited for the reader.
  std::chrono::nanoseconds waited() const;
  /// Tokens that a replay drew otherwise than before; known at the end, must be 0.
  std::int64_t replay_mismatches() const;
  /// What the request waited for its first step.
  double queue_time_s() const;
  /// Seconds between tokens, as they came from the engine.
  Histogram gaps() const;

  void on_token(const actors::TokenNews& news) override;
  void on_started(std::int64_t cached_tokens, actors::Clock::duration queue_time) override;
  void on_prompt_progress(std::int64_t done, std::int64_t total) override;
  void on_prompt_logprobs(std::int64_t first_position,
                          std::span<const actors::PromptLogprob> logprobs) override;
  void on_finished(actors::FinishReason reason, const Error& error,
                   const actors::Usage& usage) override;

 private:
  using Clock = actors::Clock;
  void mark_pending();
  void end(std::optional<ApiError> error);
  void complete(AnswerFinish finish);
  bool open() const { return !end_; }
  ApiError withdrawn() const;
  ApiError failure(const Error& error) const;
  /// Runs `change` under the lock, then tells the reader and the engine what it asked for.
  template <class Change>
  void update(Change change);

  actors::RequestEngine& engine_;
  const Limits limits_;
  std::weak_ptr<AnswerReader> reader_;

  mutable std::mutex mutex_;
  std::optional<AnswerAssembler> assembler_;
  bool wants_progress_ = false;
  std::int64_t prompt_tokens_ = 0;
  std::int64_t cached_tokens_ = 0;
  double queue_time_s_ = 0;
  Clock::time_point started_;
  std::optional<Clock::time_point> deadline_, first_token_;
  Clock::time_point last_token_;
  Histogram gaps_{kLatencyBounds};
  std::optional<actors::RequestId> id_;  // once submitted
  bool withdraw_ = false;                // the engine is to be told, as soon as there is an id
  bool cancelled_ = false;               // by the client
  bool reader_waits_ = false;

  std::optional<PromptProgress> progress_;
  AnswerPiece piece_;
  std::optional<AnswerFinish> finish_;
  std::optional<AnswerEnd> end_;
  bool end_taken_ = false;
  std::optional<Clock::time_point> pending_since_;
  std::chrono::nanoseconds waited_{};
  std::int64_t replay_mismatches_ = 0;
};

}  // namespace troupe::services
