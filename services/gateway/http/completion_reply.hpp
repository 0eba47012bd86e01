// Answers as the bodies and chunks that OpenAI's clients read.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "services/gateway/answer_set.hpp"
#include "services/gateway/http/completion_request.hpp"
#include "services/gateway/served_model.hpp"

namespace troupe::services::http {

/// What all parts of one reply share.
struct ReplyFrame {
  const ServedModel& model;
  ReplyForm form;
  std::string request_id;
  std::string id;            // "chatcmpl-..." or "cmpl-..."
  std::int64_t created = 0;  // seconds since 1970
};

/// One choice: an answer, and what its reply needs of the request.
struct ChoiceState {
  std::size_t index = 0;
  std::string echo;                                             // text in front of the answer
  std::shared_ptr<const std::vector<std::int32_t>> prompt_ids;  // the same for all of a prompt
  std::vector<std::int32_t> silent_ids;                         // show no text
  std::size_t offset = 0;  // characters that tokens shown so far begin
  AnswerPiece whole;       // so far: of a reply in one piece, or of the prompt
  bool echoed = false;     // of a stream: the echo was sent
  bool told = false;       // of a stream: logprobs of the prompt were sent
  std::optional<AnswerFinish> finish;
};

struct ReplyUsage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;  // of the prompt
};

/// The whole reply. Every choice has its finish.
std::string whole_reply(const ReplyFrame& frame, const std::vector<ChoiceState>& choices,
                        const ReplyUsage& usage);

/// Chunks of a stream, each the text of one JSON object.
/// The first of a choice: the role, and what an echo puts in front. The logprobs of a prompt come
/// with it where they are known then, else with the first piece that completes them.
std::string first_chunk(const ReplyFrame& frame, ChoiceState& choice);
/// Nothing when the client would see nothing of `piece` now.
std::optional<std::string> piece_chunk(const ReplyFrame& frame, ChoiceState& choice,
                                       const AnswerPiece& piece);
std::string progress_chunk(const ReplyFrame& frame, const PromptProgress& progress);
std::string finish_chunk(const ReplyFrame& frame, const ChoiceState& choice);
std::string usage_chunk(const ReplyFrame& frame, const ReplyUsage& usage);

}  // namespace troupe::services::http
