// The answers of one call together, its choices among them: whose event is next, and their sums.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "services/gateway/answer_stream.hpp"
#include "services/gateway/gateway_state.hpp"

namespace troupe::services {

/// Tokens of the answers that have ended. A prompt counts once, however many choices it has.
struct AnswerSums {
  std::int64_t prompt_tokens = 0;  // of all answers
  std::int64_t generated_tokens = 0;
  std::int64_t cached_tokens = 0;  // of the prompts
};

/// *Threading*: one thread at a time; `cancel` from any once all are started.
class AnswerSet {
 public:
  AnswerSet(GatewayState& state, AnswerStream::Limits limits) : state_(state), limits_(limits) {}
  AnswerSet(const AnswerSet&) = delete;

  /// Starts one more answer; the choices of a prompt follow each other. `reader` hears of events,
  /// from several threads at once. Returns why it was not started.
  std::optional<ApiError> start(PlannedRequest plan, const std::weak_ptr<AnswerReader>& reader);

  struct Event {
    std::size_t answer = 0;  // in the order of start
    AnswerEvent event;
  };
  /// The next event of any answer. Nothing: the reader is told when there is one, unless all have
  /// ended.
  std::optional<Event> take();
  bool ended() const { return open_ == 0; }
  /// The client is gone.
  void cancel();

  std::size_t size() const { return answers_.size(); }
  /// How the answer ended, if it went well.
  const std::optional<AnswerFinish>& finish(std::size_t answer) const {
    return answers_[answer].finish;
  }
  /// That of the answer that took longest. All have one.
  const AnswerFinish& last_finish() const;
  AnswerSums sums() const;
  /// What the counts want to know of the end; `error`: why it did not go well.
  void record(CallRecord& record, const std::optional<ApiError>& error) const;

 private:
  struct Answer {
    std::shared_ptr<AnswerStream> stream;
    std::int64_t prompt_tokens = 0;
    bool first_choice = false;
    bool ended = false;
    std::optional<AnswerFinish> finish;
  };

  GatewayState& state_;
  const AnswerStream::Limits limits_;
  std::vector<Answer> answers_;
  std::size_t open_ = 0;
  std::size_t turn_ = 0;  // whose event is looked for first: fair among answers
};

/// "stop", "length", ...
const char* to_string(AnswerFinish::Reason reason);

}  // namespace troupe::services
