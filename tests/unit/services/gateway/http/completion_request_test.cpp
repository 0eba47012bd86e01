// Bodies of completions: which member goes where, and what the errors call it.
#include "services/gateway/http/completion_request.hpp"

#include <gtest/gtest.h>

namespace troupe::services::http {
namespace {

JsonValue::Object object(const std::string& text) {
  auto json = model::parse_json(text);
  if (!json || json->object() == nullptr) ADD_FAILURE() << text;
  return json ? *json->object() : JsonValue::Object{};
}

CompletionRequest request_of(Answered<CompletionRequest> read) {
  if (auto* error = std::get_if<ApiError>(&read)) {
    ADD_FAILURE() << error->message;
    return {{GenerateCall{}}, {}, {}};
  }
  return std::get<CompletionRequest>(std::move(read));
}
CompletionRequest chat(const std::string& members) {
  return request_of(
      read_chat(object(R"({"messages": [{"role": "user", "content": "Hi"}])" + members + "}")));
}
CompletionRequest completion(const std::string& members) {
  return request_of(read_completion(object("{" + members + "}")));
}
ApiError refusal_of(Answered<CompletionRequest> read) {
  auto* error = std::get_if<ApiError>(&read);
  if (error == nullptr) ADD_FAILURE() << "it was read";
  return error == nullptr ? ApiError{} : std::move(*error);
}
ApiError chat_refusal(const std::string& members) {
  return refusal_of(
      read_chat(object(R"({"messages": [{"role": "user", "content": "Hi"}])" + members + "}")));
}

TEST(CompletionRequest, NullIsAbsent) {
  const auto read = chat(R"(, "temperature": null, "stop": null, "tools": null, "n": null)");
  const SamplingFields& sampling = read.calls.front().sampling;
  EXPECT_FALSE(sampling.temperature || sampling.n);
  EXPECT_TRUE(sampling.stop.empty());
  EXPECT_TRUE(read.ignored.empty());
}

TEST(CompletionRequest, ErrorsUseTheNamesOfTheBody) {
  const auto read = chat(R"(, "max_completion_tokens": 5, "logprobs": true, "top_logprobs": 0)");
  const GenerateCall& call = read.calls.front();
  EXPECT_EQ(call.names.sampling, "");
  EXPECT_EQ(call.names.max_tokens, "max_completion_tokens");
  EXPECT_EQ(call.names.logprobs, "top_logprobs");
  EXPECT_EQ(std::get<ChatCall>(call.input).names.messages, "messages");
  EXPECT_EQ(call.sampling.max_tokens, 5);
  EXPECT_EQ(call.sampling.logprobs, 0);
}

TEST(CompletionRequest, ASeedIsAnySixtyFourBits) {
  EXPECT_EQ(chat(R"(, "seed": 18446744073709551615)").calls.front().sampling.seed, UINT64_MAX);
  EXPECT_EQ(chat(R"(, "seed": -1)").calls.front().sampling.seed, UINT64_MAX);
  EXPECT_EQ(chat_refusal(R"(, "seed": 1e3)").fields.front().field, "seed");
}

TEST(CompletionRequest, OneStopOrMany) {
  EXPECT_EQ(chat(R"(, "stop": "a")").calls.front().sampling.stop, std::vector<std::string>{"a"});
  EXPECT_EQ(chat(R"(, "stop": ["a", "b"])").calls.front().sampling.stop.size(), 2u);
}

TEST(CompletionRequest, BiasesHaveTokenIdsAsKeys) {
  const auto bias = chat(R"(, "logit_bias": {"7": 1.5, "3": -2})").calls.front().sampling;
  EXPECT_EQ(bias.logit_bias, (std::map<std::int32_t, float>{{3, -2.0f}, {7, 1.5f}}));
  for (const char* key : {"x", "", "1 ", "99999999999"}) {
    const auto error = chat_refusal(", \"logit_bias\": {\"" + std::string(key) + "\": 1}");
    EXPECT_EQ(error.fields.front().field, "logit_bias") << key;
  }
  EXPECT_EQ(chat_refusal(R"(, "logit_bias": {"5": "x"})").fields.front().field, "logit_bias[5]");
}

TEST(CompletionRequest, UsageOfAStreamNeedsAStream) {
  EXPECT_TRUE(
      chat(R"(, "stream": true, "stream_options": {"include_usage": true})").form.include_usage);
  EXPECT_FALSE(chat(R"(, "stream_options": {"include_usage": true})").form.include_usage);
}

TEST(CompletionRequest, MembersWithoutEffectAreTold) {
  const auto read = chat(R"(, "user": "me", "stream_options": {"x": 1}, "metadata": {})");
  EXPECT_EQ(read.ignored, (std::vector<std::string>{"stream_options.x", "user", "metadata"}));
}

TEST(CompletionRequest, ThinkingIsAVariableOfTheTemplate) {
  const auto variables = [](const std::string& members) {
    return std::get<ChatCall>(chat(members).calls.front().input).variables_json;
  };
  EXPECT_EQ(variables(""), "");
  EXPECT_EQ(variables(R"(, "thinking": true)"), R"({"thinking":true})");
  EXPECT_EQ(variables(R"(, "thinking": {"type": "disabled"})"), R"({"thinking":false})");
  EXPECT_EQ(variables(R"(, "reasoning_effort": "none")"),
            R"({"reasoning_effort":"none","thinking":false})");
  EXPECT_EQ(variables(R"(, "chat_template_kwargs": {"a": 1, "thinking": false}, "thinking": true)"),
            R"({"a":1,"thinking":true})");
}

TEST(CompletionRequest, PartsOfTextAreJoinedByLines) {
  const auto read = request_of(read_chat(object(
      R"({"messages": [{"role": "developer", "content": [{"type": "text", "text": "a"},
                                                          {"type": "text", "text": "b"}]}]})")));
  const ChatMessage& message = std::get<ChatCall>(read.calls.front().input).messages.front();
  EXPECT_EQ(message.role, "system");
  EXPECT_EQ(message.content, "a\nb");
}

TEST(CompletionRequest, EveryWrongMemberIsNamedUpToABound) {
  const auto error = chat_refusal(R"(, "temperature": "x", "seed": {}, "stream": 1)");
  ASSERT_EQ(error.fields.size(), 3u);
  EXPECT_EQ(error.reason, "INVALID_FIELD");
  std::string many;
  for (int i = 0; i < 100; ++i) many += (i == 0 ? "" : ",") + std::string("{\"role\": 1}");
  const auto bounded = refusal_of(read_chat(object("{\"messages\": [" + many + "]}")));
  EXPECT_EQ(bounded.fields.size(), 16u);
}

TEST(CompletionRequest, WhatIsNotServedIsRefusedByName) {
  EXPECT_EQ(chat_refusal(R"(, "tools": [{}])").metadata.at("field"), "tools");
  EXPECT_EQ(chat_refusal(R"(, "guided_json": {})").metadata.at("field"), "guided_json");
  EXPECT_EQ(chat_refusal(R"(, "response_format": {"type": "json_object"})").reason,
            "FIELD_NOT_SERVED");
}

TEST(CompletionRequest, PromptsComeInFourShapes) {
  EXPECT_EQ(std::get<std::string>(completion(R"("prompt": "a")").calls.front().input), "a");
  EXPECT_EQ(std::get<std::vector<std::int32_t>>(completion(R"("prompt": [1, 2])").calls[0].input),
            (std::vector<std::int32_t>{1, 2}));
  const auto texts = completion(R"("prompt": ["a", "b"], "max_tokens": 3)");
  ASSERT_EQ(texts.calls.size(), 2u);
  EXPECT_EQ(texts.calls[1].names.text, "prompt[1]");
  EXPECT_EQ(texts.calls[1].sampling.max_tokens, 3);
  const auto ids = completion(R"("prompt": [[1], [2, 3]])");
  ASSERT_EQ(ids.calls.size(), 2u);
  EXPECT_EQ(ids.calls[1].names.ids, "prompt[1]");
}

TEST(CompletionRequest, TheBestOfAsManyAsAreGivenBack) {
  EXPECT_EQ(completion(R"("prompt": "a", "best_of": 2, "n": 2)").form.choices, 2u);
  EXPECT_EQ(refusal_of(read_completion(object(R"({"prompt": "a", "best_of": 2})"))).reason,
            "FIELD_NOT_SERVED");
}

TEST(CompletionRequest, AnswersOfOneRequestAreBounded) {
  const auto asked = object(R"({"prompt": ["a", "b", "c"], "n": 100})");
  EXPECT_EQ(refusal_of(read_completion(asked)).fields.front().field, "n");
}

TEST(CompletionRequest, LogprobsOfThePromptAreNotStreamed) {
  EXPECT_EQ(chat(R"(, "prompt_logprobs": 2)").form.prompt_logprobs, 2);
  EXPECT_EQ(chat_refusal(R"(, "prompt_logprobs": 2, "stream": true)").fields.front().field,
            "prompt_logprobs");
}

TEST(CompletionRequest, OrderAndSaltBelongToTheRequest) {
  const auto call = chat(R"(, "priority": -2, "cache_salt": "s")").calls.front();
  EXPECT_EQ(call.priority, -2);
  EXPECT_EQ(call.cache_salt, "s");
}

TEST(CompletionRequest, ACompletionHasSixteenTokensUnlessTold) {
  EXPECT_EQ(completion(R"("prompt": "a")").calls.front().sampling.max_tokens, 16);
  EXPECT_FALSE(chat("").calls.front().sampling.max_tokens.has_value());
}

}  // namespace
}  // namespace troupe::services::http
