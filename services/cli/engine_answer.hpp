// An answer of an engine in or behind this process.
#pragma once
#include <memory>

#include "actors/request_engine.hpp"
#include "services/cli/answer_queue.hpp"
#include "services/cli/answer_source.hpp"
#include "services/cli/token_text.hpp"

namespace troupe::services {

class EngineAnswer final : public AnswerSource {
 public:
  /// Submits `request`; if it is refused, that is the only event. `engine` must outlive it.
  EngineAnswer(actors::RequestEngine& engine, actors::GenerateRequest request, TokenText tokens);

  std::optional<Event> next(std::chrono::milliseconds patience) override;
  void cancel() override;

 private:
  actors::RequestEngine& engine_;
  std::shared_ptr<AnswerQueue> queue_ = std::make_shared<AnswerQueue>();
  TokenText tokens_;
  std::optional<actors::RequestId> id_;
  std::optional<Answer> end_;  // comes after the last text
};

}  // namespace troupe::services
