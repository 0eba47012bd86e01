// How likely tokens were, as chat replies, text replies and other servers' clients read it.
#pragma once
#include <cstddef>

#include "services/gateway/http/completion_reply.hpp"
#include "services/gateway/http/json_tree.hpp"

namespace troupe::services::http {

/// {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}; nothing of silent ids.
JsonValue chat_logprobs(const ReplyFrame& frame, const ChoiceState& choice,
                        const AnswerPiece& piece);

/// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}: the prompt's tokens first if
/// `with_prompt`, then those of `piece`, silent ones among them. `offset`: characters that begin in
/// front of it; moved on. A token that begins within a character has that character's offset.
JsonValue text_logprobs(const ReplyFrame& frame, const ChoiceState& choice,
                        const AnswerPiece& piece, bool with_prompt, std::size_t& offset);

/// [null, {"ID": {"logprob", "rank", "decoded_token"}}, ...], as vLLM writes them: one per token of
/// the prompt, its own entry among the alternatives.
JsonValue prompt_logprobs(const ReplyFrame& frame, const ChoiceState& choice);

}  // namespace troupe::services::http
