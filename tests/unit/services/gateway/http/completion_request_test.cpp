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

TEST(CompletionRequest, APartOfTextHasItsText) {
  const auto refused = refusal_of(
      read_chat(object(R"({"messages": [{"role": "user", "content": [{"type": "text"}]}]})")));
  ASSERT_EQ(refused.fields.size(), 1u);
  EXPECT_EQ(refused.fields.front().field, "messages[0].content[0].text");
}

TEST(CompletionRequest, ASeedIsAnySixtyFourBits) {
  EXPECT_EQ(chat(R"(, "seed": 18446744073709551615)").calls.front().sampling.seed, UINT64_MAX);
  EXPECT_EQ(chat(R"(, "seed": -1)").calls.front().sampling.seed, UINT64_MAX);
  EXPECT_EQ(chat(R"(, "seed": 1e3)").calls.front().sampling.seed, 1000u);
  EXPECT_EQ(chat_refusal(R"(, "seed": 1.5)").fields.front().field, "seed");
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
  EXPECT_EQ(chat_refusal(R"(, "functions": [{}])").metadata.at("field"), "functions");
  EXPECT_EQ(chat_refusal(R"(, "guided_grammar": "root ::= x")").metadata.at("field"),
            "guided_grammar");
  EXPECT_EQ(chat_refusal(R"(, "structured_outputs": {"grammar": "x"})").metadata.at("field"),
            "structured_outputs.grammar");
}

TEST(CompletionRequest, AToolChoiceIsAWordOrNamesAFunction) {
  using Kind = ToolChoice::Kind;
  const auto choice = [](const std::string& value) {
    const auto read = chat(R"(, "tool_choice": )" + value);
    return std::get<ChatCall>(read.calls.front().input).choice;
  };
  EXPECT_EQ(choice("null").kind, Kind::automatic);
  EXPECT_EQ(choice(R"("auto")").kind, Kind::automatic);
  EXPECT_EQ(choice(R"("none")").kind, Kind::none);
  EXPECT_EQ(choice(R"("required")").kind, Kind::required);
  const auto named = choice(R"({"type": "function", "function": {"name": "f"}})");
  EXPECT_EQ(named.kind, Kind::named);
  EXPECT_EQ(named.name, "f");
  for (const auto& [value, field] : {
           std::pair{R"("any")", "tool_choice"},
           std::pair{"[]", "tool_choice"},
           std::pair{R"({"type": "tool"})", "tool_choice.type"},
           std::pair{R"({"type": "function"})", "tool_choice.function"},
           std::pair{R"({"type": "function", "function": {"name": 5}})",
                     "tool_choice.function.name"},
       }) {
    EXPECT_EQ(chat_refusal(std::string(R"(, "tool_choice": )") + value).fields.front().field,
              field);
  }
}

TEST(CompletionRequest, NumbersAreTakenHoweverTheyAreWritten) {
  const auto call =
      chat(R"(, "n": 2.0, "seed": 3.0, "stop_token_ids": [4.0], "top_p": 5e-324)").calls.front();
  EXPECT_EQ(call.sampling.n, 2);
  EXPECT_EQ(call.sampling.seed, 3u);
  EXPECT_EQ(call.sampling.stop_token_ids, std::vector<std::int32_t>{4});
  EXPECT_GT(call.sampling.top_p, 0.0f);
  EXPECT_EQ(chat_refusal(R"(, "n": 2.5)").fields.front().field, "n");
  EXPECT_EQ(chat_refusal(R"(, "seed": 1e30)").fields.front().field, "seed");
}

TEST(CompletionRequest, EveryWayToAskForAFormIsOneGrammar) {
  using Kind = model::GrammarSpec::Kind;
  struct Way {
    const char* members;
    Kind kind;
    const char* text;
    const char* field;
  };
  for (const Way& way : {
           Way{R"("response_format": {"type": "text"})", Kind::none, "", "response_format"},
           Way{R"("response_format": {"type": "json_object"})", Kind::json_object, "",
               "response_format"},
           Way{R"("response_format": {"type": "json_object", "schema": {"type": "null"}})",
               Kind::json_schema, R"({"type":"null"})", "response_format.schema"},
           Way{R"("response_format": {"type": "json_schema", "json_schema": {"name": "n",
                  "strict": true, "schema": {"b": 1, "a": 2}}})",
               Kind::json_schema, R"({"b":1,"a":2})", "response_format.json_schema.schema"},
           Way{R"("response_format": {"type": "regex", "pattern": "a+"})", Kind::regex, "a+",
               "response_format.pattern"},
           Way{R"("guided_json": {"type": "null"})", Kind::json_schema, R"({"type":"null"})",
               "guided_json"},
           Way{R"("guided_json": "{}")", Kind::json_schema, "{}", "guided_json"},
           Way{R"("guided_regex": "a")", Kind::regex, "a", "guided_regex"},
           Way{R"("guided_choice": ["a.b", "", "c|\\d"])", Kind::regex,
               R"((?:a\.b)|(?:)|(?:c\|\\d))", "guided_choice"},
           Way{R"("structured_outputs": {"choice": ["a"]})", Kind::regex, "(?:a)",
               "structured_outputs.choice"},
           Way{R"("structured_outputs": {"regex": "a"})", Kind::regex, "a",
               "structured_outputs.regex"},
       }) {
    const auto read = chat(std::string(", ") + way.members);
    const FormatCall& format = read.calls.front().format;
    EXPECT_EQ(format.grammar, (model::GrammarSpec{way.kind, way.text})) << way.members;
    EXPECT_EQ(format.field, way.field);
    EXPECT_TRUE(read.ignored.empty()) << way.members;
  }
}

TEST(CompletionRequest, FormsThatAreNoneAreNamed) {
  for (const auto& [members, field] : {
           std::pair{R"("response_format": {"type": "xml"})", "response_format.type"},
           std::pair{R"("response_format": {"type": "json_schema"})",
                     "response_format.json_schema"},
           std::pair{R"("response_format": {"type": "json_schema", "json_schema": {"name": "n"}})",
                     "response_format.json_schema.schema"},
           std::pair{R"("response_format": {"type": "regex"})", "response_format.pattern"},
           std::pair{R"("guided_json": 5)", "guided_json"},
           std::pair{R"("guided_choice": [])", "guided_choice"},
           std::pair{R"("guided_choice": ["a", 5])", "guided_choice[1]"},
           std::pair{R"("guided_choice": ["a"], "guided_regex": "a")", "guided_choice"},
           std::pair{R"("guided_regex": "a", "response_format": {"type": "json_object"})",
                     "guided_regex"},
       }) {
    EXPECT_EQ(chat_refusal(std::string(", ") + members).fields.front().field, field) << members;
  }
}

TEST(CompletionRequest, ToolsCallsAndResultsAreRead) {
  const auto read = request_of(read_chat(object(R"({"tools": [{"type": "function"}],
      "tool_choice": "auto", "parallel_tool_calls": false, "include_reasoning": false,
      "messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "c", "index": 0,
          "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "42"}]})")));
  const GenerateCall& call = read.calls.front();
  const auto& conversation = std::get<ChatCall>(call.input);
  EXPECT_EQ(conversation.tools, std::vector<std::string>{R"({"type":"function"})"});
  EXPECT_TRUE(conversation.may_call());
  EXPECT_FALSE(conversation.parallel_calls || call.reasoning);
  ASSERT_EQ(conversation.messages.size(), 2u);
  EXPECT_EQ(conversation.messages[0].tool_calls.front().name, "f");
  EXPECT_EQ(conversation.messages[1].tool_call_id, "c");
  EXPECT_TRUE(read.ignored.empty());
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

TEST(CompletionRequest, LogprobsOfThePromptGoWithAndWithoutStreams) {
  EXPECT_EQ(chat(R"(, "prompt_logprobs": 2)").form.prompt_logprobs, 2);
  EXPECT_EQ(chat(R"(, "prompt_logprobs": 2, "stream": true)").form.prompt_logprobs, 2);
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
