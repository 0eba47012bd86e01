// Bodies of /v1/chat/completions and /v1/completions as requests of the gateway.
#pragma once
#include <string>
#include <vector>

#include "services/gateway/api_error.hpp"
#include "services/gateway/generate_call.hpp"
#include "services/gateway/http/json_tree.hpp"

namespace troupe::services::http {

/// What shapes the reply and not the answer.
struct ReplyForm {
  bool chat = false;
  bool stream = false;
  bool include_usage = false;  // one last chunk
  bool logprobs = false;
  std::int32_t top_logprobs = 0;                // alternatives of each token
  std::optional<std::int32_t> prompt_logprobs;  // those of each token of the prompt
  std::size_t choices = 1;                      // of each prompt
  bool token_ids = false;
  bool timings = false;
  bool echo = false;
};

/// Prompts of a completion are calls that differ in their input only.
struct CompletionRequest {
  std::vector<GenerateCall> calls;  // at least one
  ReplyForm form;
  std::vector<std::string> ignored;  // paths of members without effect
};

inline constexpr std::size_t kPromptsMax = 256;  // of one request, times n

/// *Errors*: INVALID_FIELD with the JSON paths of all wrong members; FIELD_NOT_SERVED with the path
/// of one that this server cannot serve. Ranges are checked by plan_request.
Answered<CompletionRequest> read_chat(const JsonValue::Object& body);
Answered<CompletionRequest> read_completion(const JsonValue::Object& body);

}  // namespace troupe::services::http
