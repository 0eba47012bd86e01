// Any bytes as the body of a completion are refused with words, or read into bounded requests.
#include "core/check.hpp"
#include "services/gateway/http/completion_request.hpp"
#include "tests/fuzz/fuzz_target.hpp"

using namespace troupe::services;

std::vector<std::string> fuzz_seeds() {
  return {
      R"({"messages":[{"role":"user","content":"Hi"}],"stream":true,"max_tokens":5,"seed":-3,
          "stream_options":{"include_usage":true},"temperature":0.5,"stop":["a","b"],"user":"x"})",
      R"({"messages":[{"role":"developer","content":[{"type":"text","text":"a"}]},
          {"role":"assistant","content":null,"name":"n"}],"logit_bias":{"5":-100},"logprobs":true,
          "top_logprobs":0,"thinking":{"type":"enabled"},"chat_template_kwargs":{"a":[1,{}]}})",
      R"({"prompt":["a","b"],"echo":true,"n":1,"top_k":40,"min_p":0.1,"ignore_eos":true})",
      R"({"prompt":[[1,2],[3]],"logprobs":0,"stop_token_ids":[7],"stop":"x","best_of":1})",
      R"({"prompt":[1,2,3],"response_format":{"type":"text"},"suffix":"","priority":0})",
      R"({"messages":[],"tools":[],"tool_choice":"none","reasoning_effort":"low"})",
  };
}

namespace {

void check(const Answered<http::CompletionRequest>& read, const std::string& body) {
  if (const auto* error = std::get_if<ApiError>(&read)) {
    TROUPE_CHECK(!error->message.empty() && !error->reason.empty(), body);
    TROUPE_CHECK(error->fields.size() <= 16, body);
    return;
  }
  const auto& request = std::get<http::CompletionRequest>(read);
  TROUPE_CHECK(!request.calls.empty() && request.calls.size() <= http::kPromptsMax, body);
  TROUPE_CHECK(request.ignored.size() <= 16, body);
  for (const GenerateCall& call : request.calls) {
    TROUPE_CHECK(call.input.index() != 0, body);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  const auto json = troupe::model::parse_json(body);
  if (!json || json->object() == nullptr) return 0;
  check(http::read_chat(*json->object()), body);
  check(http::read_completion(*json->object()), body);
  return 0;
}
