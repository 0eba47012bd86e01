// Tokens of the engine to text.
#include "services/cli/engine_answer.hpp"

#include <utility>

namespace troupe::services {

EngineAnswer::EngineAnswer(actors::RequestEngine& engine, actors::GenerateRequest request,
                           TokenText tokens)
    : engine_(engine), tokens_(std::move(tokens)) {
  const auto submitted = engine_.submit(std::move(request), queue_);
  if (submitted) {
    id_ = *submitted;
  } else {
    end_ = Answer{actors::FinishReason::error, submitted.error(), {}, std::nullopt};
  }
}

std::optional<AnswerSource::Event> EngineAnswer::next(std::chrono::milliseconds patience) {
  if (end_) return *std::exchange(end_, std::nullopt);
  auto event = queue_->next(patience);
  if (!event) return std::nullopt;
  if (const auto* prompt = std::get_if<PromptProgress>(&*event)) return *prompt;
  if (const auto* token = std::get_if<std::int32_t>(&*event))
    return AnswerText{tokens_.push(*token), 1};
  end_ = std::get<Answer>(std::move(*event));
  return AnswerText{tokens_.finish()};
}

void EngineAnswer::cancel() {
  if (id_) engine_.cancel(*id_);
}

}  // namespace troupe::services
