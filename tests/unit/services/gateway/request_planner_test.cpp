// What becomes of a client's fields: the engine's request, or an error that names the field.
#include "services/gateway/request_planner.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>

#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services {
namespace {

GenerateCall text_call(std::string text = "In the beginning") {
  GenerateCall call;
  call.input = std::move(text);
  return call;
}

PlannedRequest plan_of(const GenerateCall& call, const ServedModel& model = tiny_served()) {
  auto planned = plan_request(model, call);
  if (auto* error = std::get_if<ApiError>(&planned)) ADD_FAILURE() << error->message;
  return std::get<PlannedRequest>(std::move(planned));
}

ApiError error_of(const GenerateCall& call, const ServedModel& model = tiny_served()) {
  auto planned = plan_request(model, call);
  auto* error = std::get_if<ApiError>(&planned);
  if (error == nullptr) ADD_FAILURE() << "it was planned";
  return error == nullptr ? ApiError{} : std::move(*error);
}

TEST(RequestPlanner, TakesDefaultsOfTheModel) {
  const auto plan = plan_of(text_call());
  EXPECT_FLOAT_EQ(plan.request.sampling.temperature, 0.7f);
  EXPECT_FLOAT_EQ(plan.request.sampling.top_p, 0.95f);
  EXPECT_EQ(plan.request.sampling.stop_token_ids, std::vector<std::int32_t>{1});
  EXPECT_EQ(plan.request.sampling.max_tokens,
            4096 - static_cast<std::int32_t>(plan.request.prompt.size()));
  EXPECT_EQ(plan.request.valid_vocab, tiny_model().valid_vocab());
  EXPECT_EQ(plan.drawn_seed, plan.request.sampling.seed);
}

TEST(RequestPlanner, ComputedPromptsAreSharedAmongEqualSaltsOfOneOwner) {
  std::set<std::uint64_t> salts;
  for (const char* owner : {"", "a", "b"}) {
    for (const char* salt : {"", "x", "a"}) {
      GenerateCall call = text_call();
      call.cache_owner = owner;
      call.cache_salt = salt;
      salts.insert(plan_of(call).request.cache_salt);
      EXPECT_EQ(salts.count(plan_of(call).request.cache_salt), 1u);
    }
  }
  EXPECT_EQ(salts.size(), 9u);
  EXPECT_EQ(plan_of(text_call()).request.cache_salt, 0u);
}

TEST(RequestPlanner, BadWordsAreIdsAtTheBeginAndBehindASpace) {
  GenerateCall call = text_call();
  call.sampling.bad_words = {"light", "In"};
  call.sampling.allowed_token_ids = {5, 6};
  const auto sampling = plan_of(call).request.sampling;
  const auto& tokenizer = *tiny_served().tokenizer();
  ASSERT_EQ(sampling.bad_words.size(), 4u);
  EXPECT_EQ(sampling.bad_words[0], *tokenizer.encode("light"));
  EXPECT_EQ(sampling.bad_words[1], *tokenizer.encode(" light"));
  EXPECT_NE(sampling.bad_words[0], sampling.bad_words[1]);
  EXPECT_EQ(sampling.allowed_token_ids, (std::vector<std::int32_t>{5, 6}));
}

TEST(RequestPlanner, TakesWhatTheClientSays) {
  GenerateCall call = text_call();
  call.sampling.temperature = 0;
  call.sampling.max_tokens = 7;
  call.sampling.stop_token_ids = {9};
  call.sampling.logit_bias = {{5, 1.5f}, {3, -2.0f}};
  call.sampling.logprobs = 0;
  call.sampling.stop = {"END"};
  const auto plan = plan_of(call);
  EXPECT_EQ(plan.request.sampling.max_tokens, 7);
  EXPECT_EQ(plan.request.sampling.stop_token_ids, (std::vector<std::int32_t>{9, 1}));
  EXPECT_EQ(plan.request.sampling.logit_bias.front().first, 3);  // by id
  EXPECT_EQ(plan.form.stops, call.sampling.stop);
  EXPECT_TRUE(plan.form.logprobs);
  EXPECT_EQ(plan.drawn_seed, std::nullopt);  // greedy draws nothing
}

TEST(RequestPlanner, ASeedOfTheClientIsNotADrawnOne) {
  GenerateCall call = text_call();
  call.sampling.seed = 42;
  const auto plan = plan_of(call);
  EXPECT_EQ(plan.request.sampling.seed, 42u);
  EXPECT_EQ(plan.drawn_seed, std::nullopt);
}

TEST(RequestPlanner, IgnoringTheEndOfTextKeepsTheClientsOwnStopIds) {
  GenerateCall call = text_call();
  call.sampling.ignore_eos = true;
  call.sampling.stop_token_ids = {9};
  EXPECT_EQ(plan_of(call).request.sampling.stop_token_ids, std::vector<std::int32_t>{9});
}

TEST(RequestPlanner, TextGetsBosAndNeverBecomesASpecialToken) {
  const auto& tokenizer = *tiny_model().tokenizer;
  const std::string text = "<｜User｜>hello";
  const auto prompt = plan_of(text_call(text)).request.prompt;
  EXPECT_EQ(prompt.front(), *tokenizer.bos_id());
  const std::vector<std::int32_t> rest(prompt.begin() + 1, prompt.end());
  EXPECT_EQ(rest, tokenizer.encode(text, {.recognize_added_tokens = false}).value());
  EXPECT_NE(rest, tokenizer.encode(text).value());
}

TEST(RequestPlanner, ATurnOfAChatIsWhatTheTemplateMakesOfIt) {
  GenerateCall call;
  call.input = ChatCall{{{"user", "hello"}}, "", true};
  const auto expected =
      ChatPrompt::load(*tiny_model().tokenizer, {}).value().encode({{"user", "hello"}}, "").value();
  EXPECT_EQ(plan_of(call).request.prompt, expected.ids);
}

TEST(RequestPlanner, AnUnknownModelListsWhatIsServed) {
  GenerateCall call = text_call();
  call.model = "other";
  const auto error = error_of(call);
  EXPECT_EQ(error.code, ApiCode::not_found);
  EXPECT_NE(error.message.find("troupe-tiny"), std::string::npos);
}

struct Spoilt {
  std::function<void(GenerateCall&)> spoil;
  std::string field;
};

void expect_fields_named(const std::vector<Spoilt>& cases) {
  for (const Spoilt& one : cases) {
    GenerateCall call = text_call();
    one.spoil(call);
    const auto error = error_of(call);
    EXPECT_EQ(error.code, ApiCode::invalid_argument) << one.field;
    ASSERT_FALSE(error.fields.empty()) << one.field;
    EXPECT_EQ(error.fields.front().field, one.field);
    EXPECT_NE(error.message.find(one.field), std::string::npos);
  }
}

TEST(RequestPlanner, EverySamplingFieldOutOfRangeIsNamed) {
  const float nan = std::nanf("");
  expect_fields_named({
      {[](auto& c) { c.sampling.temperature = 2.1f; }, "sampling.temperature"},
      {[&](auto& c) { c.sampling.temperature = nan; }, "sampling.temperature"},
      {[](auto& c) { c.sampling.top_p = 0; }, "sampling.top_p"},
      {[](auto& c) { c.sampling.top_k = -2; }, "sampling.top_k"},
      {[](auto& c) { c.sampling.min_p = 1.5f; }, "sampling.min_p"},
      {[](auto& c) { c.sampling.frequency_penalty = -3; }, "sampling.frequency_penalty"},
      {[](auto& c) { c.sampling.presence_penalty = 3; }, "sampling.presence_penalty"},
      {[](auto& c) { c.sampling.repetition_penalty = 0; }, "sampling.repetition_penalty"},
      {[](auto& c) { c.sampling.n = 0; }, "sampling.n"},
      {[](auto& c) { c.sampling.max_tokens = 0; }, "sampling.max_tokens"},
      {[](auto& c) { c.sampling.min_tokens = -1; }, "sampling.min_tokens"},
      {[](auto& c) {
         c.sampling.max_tokens = 3;
         c.sampling.min_tokens = 4;
       },
       "sampling.min_tokens"},
      {[](auto& c) { c.sampling.min_tokens = 1'000'000; },
       "sampling.min_tokens"},  // by the context
      {[](auto& c) { c.sampling.logprobs = 21; }, "sampling.logprobs"},
      {[](auto& c) { c.sampling.prompt_logprobs = -1; }, "sampling.prompt_logprobs"},
      {[](auto& c) { c.priority = 1'000'001; }, "priority"},
      {[](auto& c) { c.cache_salt = std::string(1025, 'a'); }, "cache_salt"},
      {[](auto& c) {
         c.sampling.stop = {"a", ""};
       },
       "sampling.stop[1]"},
      {[](auto& c) { c.sampling.stop = {std::string(1025, 'a')}; }, "sampling.stop[0]"},
      {[](auto& c) { c.sampling.stop = {"\xff"}; }, "sampling.stop[0]"},
      {[](auto& c) { c.sampling.stop.assign(17, "a"); }, "sampling.stop"},
      {[](auto& c) {
         c.sampling.stop_token_ids = {1, 4224};
       },
       "sampling.stop_token_ids[1]"},
      {[](auto& c) { c.sampling.stop_token_ids.assign(1025, 1); }, "sampling.stop_token_ids"},
      {[](auto& c) { c.sampling.allowed_token_ids = {-1}; }, "sampling.allowed_token_ids[0]"},
      {[](auto& c) {
         c.sampling.bad_words = {"a", ""};
       },
       "sampling.bad_words[1]"},
      {[](auto& c) { c.sampling.bad_words.assign(65, "a"); }, "sampling.bad_words"},
      {[](auto& c) {
         c.sampling.logit_bias = {{-1, 0}};
       },
       "sampling.logit_bias[-1]"},
      {[](auto& c) {
         c.sampling.logit_bias = {{7, 101}};
       },
       "sampling.logit_bias[7]"},
  });
}

TEST(RequestPlanner, EveryInputThatCannotBeIsNamed) {
  expect_fields_named({
      {[](auto& c) { c.request_id = std::string(129, 'a'); }, "request_id"},
      {[](auto& c) { c.request_id = "a b"; }, "request_id"},
      {[](auto& c) { c.input = std::monostate(); }, "input"},
      {[](auto& c) { c.input = std::string(); }, "text"},
      {[](auto& c) { c.input = std::string("ab\xc3"); }, "text"},
      {[](auto& c) { c.input = GenerateCall::IdsInput{}; }, "token_ids.ids"},
      {[](auto& c) {
         c.input = GenerateCall::IdsInput{1, -1};
       },
       "token_ids.ids[1]"},
      {[](auto& c) { c.input = ChatCall{}; }, "chat.messages"},
      {[](auto& c) {
         c.input = ChatCall{{{"user", "\xff"}}};
       },
       "chat.messages[0].content"},
      {[](auto& c) {
         c.input = ChatCall{{{"", "x"}}};
       },
       "chat.messages[0].role"},
      {[](auto& c) {
         c.input = ChatCall{{{"user", "x"}}, "[1]"};
       },
       "chat.template_variables_json"},
  });
}

TEST(RequestPlanner, AllFieldsOutOfRangeAreNamedAtOnce) {
  GenerateCall call = text_call();
  call.sampling.temperature = 9;
  call.sampling.top_p = 9;
  EXPECT_EQ(error_of(call).fields.size(), 2u);
}

TEST(RequestPlanner, FieldsOfLaterFeaturesAreRefusedByName) {
  GenerateCall call = text_call();
  call.not_served = {"tools"};
  EXPECT_EQ(error_of(call).code, ApiCode::unimplemented);
  EXPECT_EQ(error_of(call).metadata.at("field"), "tools");
  call = text_call();
}

TEST(RequestPlanner, ChoicesDifferInTheirNumberOnlyAndTheFirstTellsOfThePrompt) {
  GenerateCall call = text_call();
  call.sampling.n = 3;
  call.sampling.seed = 7;
  call.sampling.prompt_logprobs = 2;
  call.prompt_progress = true;
  const auto choices = choices_of(plan_of(call));
  ASSERT_EQ(choices.size(), 3u);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(choices[i].request.sampling.choice, i);
    EXPECT_EQ(choices[i].request.choices, 3u);
    EXPECT_EQ(choices[i].request.sampling.seed, 7u);
    EXPECT_EQ(choices[i].request.prompt, choices[0].request.prompt);
    EXPECT_EQ(choices[i].request.prompt_logprobs.has_value(), i == 0);
    EXPECT_EQ(choices[i].prompt_progress, i == 0);
  }
}

TEST(RequestPlanner, AnEchoWithLogprobsWantsThoseOfThePromptInEveryChoice) {
  GenerateCall call = text_call();
  call.echo = true;
  call.sampling.n = 2;
  EXPECT_EQ(plan_of(call).request.prompt_logprobs, std::nullopt);
  call.sampling.logprobs = 3;
  EXPECT_EQ(plan_of(call).request.sampling.top_logprobs, 3);
  EXPECT_EQ(choices_of(plan_of(call))[1].request.prompt_logprobs, 3);
  call.sampling.prompt_logprobs = 5;
  EXPECT_EQ(plan_of(call).request.prompt_logprobs, 5);
}

TEST(RequestPlanner, ThePromptAloneIsEnoughWhereItIsToldOf) {
  GenerateCall call = text_call();
  call.input = GenerateCall::IdsInput(4096, 5);
  call.sampling.max_tokens = 0;
  call.sampling.prompt_logprobs = 0;
  EXPECT_EQ(plan_of(call).request.sampling.max_tokens, 0);
  call.sampling.prompt_logprobs.reset();
  EXPECT_EQ(error_of(call).fields.front().field, "sampling.max_tokens");
  call.echo = true;
  EXPECT_EQ(plan_of(call).request.sampling.max_tokens, 0);
}

TEST(RequestPlanner, SaltsAndTenantsAreHashedAndNoneIsZero) {
  GenerateCall call = text_call();
  EXPECT_EQ(plan_of(call).request.cache_salt, 0u);
  EXPECT_EQ(plan_of(call).request.tenant, 0u);
  call.cache_salt = "mine";
  call.tenant = "alice";
  call.priority = -3;
  const auto request = plan_of(call).request;
  EXPECT_NE(request.cache_salt, 0u);
  EXPECT_NE(request.tenant, request.cache_salt);
  EXPECT_EQ(request.priority, -3);
  EXPECT_EQ(plan_of(call).request.cache_salt, request.cache_salt);
  call.cache_salt = "yours";
  EXPECT_NE(plan_of(call).request.cache_salt, request.cache_salt);
}

TEST(RequestPlanner, AFormIsJudgedBeforeAnythingIsAsked) {
  GenerateCall call = text_call();
  call.format = {{model::GrammarSpec::Kind::json_schema, R"({"type": "integer"})"}, "form"};
  EXPECT_EQ(plan_of(call).request.grammar, call.format.grammar);
  EXPECT_EQ(plan_of(call).request.grammar_after, -1);
  call.format.grammar.text = R"({"type": "object", "properties": {"a": {"multipleOf": 2}}})";
  const auto error = error_of(call);
  EXPECT_EQ(error.fields.front().field, "form");
  EXPECT_NE(error.message.find("multipleOf"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("$.properties.a"), std::string::npos) << error.message;
  call.input = GenerateCall::IdsInput{1};
  EXPECT_EQ(error_of(call, wordless_served()).reason, "TOKENIZER_MISSING");
}

TEST(RequestPlanner, AFormBeginsBehindTheThoughtsOfTheAnswer) {
  GenerateCall call;
  call.input = ChatCall{{{"user", "hello"}}};
  call.format.grammar.kind = model::GrammarSpec::Kind::json_object;
  EXPECT_EQ(plan_of(call).request.grammar_after, -1);
  EXPECT_EQ(plan_of(call, tiny_speaking("r1")).request.grammar_after,
            tiny_model().tokenizer->id_of("</think>"));
  EXPECT_EQ(plan_of(call, tiny_speaking("v31")).request.grammar_after, -1);
  std::get<ChatCall>(call.input).variables_json = R"({"thinking": true})";
  EXPECT_EQ(plan_of(call, tiny_speaking("v31")).request.grammar_after,
            tiny_model().tokenizer->id_of("</think>"));
}

TEST(RequestPlanner, AForcedCallIsTheFormWhateverElseIsAskedOfTheText) {
  GenerateCall call;
  ChatCall chat{{{"user", "hello"}}};
  chat.tools = {R"({"type": "function",
      "function": {"name": "f", "description": "of a test", "parameters": {}}})"};
  call.input = chat;
  EXPECT_FALSE(has_form(call));
  chat.choice.kind = ToolChoice::Kind::required;
  call.input = chat;
  EXPECT_TRUE(has_form(call));
  call.format.grammar.kind = model::GrammarSpec::Kind::json_object;
  const auto plan = plan_of(call, tiny_speaking("v31"));
  EXPECT_EQ(plan.request.grammar.kind, model::GrammarSpec::Kind::tool_calls);
  EXPECT_EQ(plan.request.grammar_after, -1);
  EXPECT_EQ(plan_of(call, tiny_speaking("r1")).request.grammar_after,
            tiny_model().tokenizer->id_of("</think>"));
  chat.choice = {};
  call.input = chat;
  EXPECT_EQ(plan_of(call, tiny_speaking("v31")).request.grammar, call.format.grammar);
  chat.choice.kind = ToolChoice::Kind::required;
  chat.tools = {R"({"type": "function", "function": {"name": "f",
      "description": "of a test", "parameters": {"properties": {"a": {"multipleOf": 2}}}}})"};
  call.input = chat;
  const auto error = error_of(call, tiny_speaking("v31"));
  EXPECT_EQ(error.fields.front().field, "chat.tool_choice");
  EXPECT_NE(error.message.find("parameters of \"f\""), std::string::npos) << error.message;
}

TEST(RequestPlanner, ThePromptAndMaxTokensMustFitTheContext) {
  GenerateCall call = text_call();
  call.input = GenerateCall::IdsInput(4000, 5);
  call.sampling.max_tokens = 96;
  EXPECT_EQ(plan_of(call).request.sampling.max_tokens, 96);
  call.sampling.max_tokens = 97;
  const auto error = error_of(call);
  EXPECT_EQ(error.reason, "CONTEXT_LENGTH_EXCEEDED");
  EXPECT_EQ(error.metadata.at("prompt_tokens"), "4000");
  EXPECT_EQ(error.metadata.at("max_tokens"), "97");
  EXPECT_EQ(error.metadata.at("context_length"), "4096");
  call.sampling.max_tokens.reset();
  call.input = GenerateCall::IdsInput(4096, 5);
  EXPECT_EQ(error_of(call).reason, "CONTEXT_LENGTH_EXCEEDED");
}

TEST(RequestPlanner, TextThatCannotFitIsRefusedWithoutTokenizingIt) {
  const auto error = error_of(text_call(std::string(std::size_t{50} << 20, 'a')));
  EXPECT_EQ(error.reason, "CONTEXT_LENGTH_EXCEEDED");
}

TEST(RequestPlanner, WithoutATokenizerTextIsAPrecondition) {
  GenerateCall call = text_call();
  EXPECT_EQ(error_of(call, wordless_served()).code, ApiCode::failed_precondition);
  EXPECT_EQ(error_of(call, wordless_served()).reason, "TOKENIZER_MISSING");
  call.input = ChatCall{{{"user", "x"}}};
  EXPECT_EQ(error_of(call, wordless_served()).reason, "TOKENIZER_MISSING");
  call.input = GenerateCall::IdsInput{1, 2};
  EXPECT_EQ(plan_of(call, wordless_served()).form.tokenizer, nullptr);
  call.sampling.stop = {"a"};
  EXPECT_EQ(error_of(call, wordless_served()).reason, "TOKENIZER_MISSING");
}

TEST(RequestPlanner, MadeIdsDifferAndAreFit) {
  const std::string id = make_request_id();
  EXPECT_NE(id, make_request_id());
  EXPECT_EQ(check_request_id(id), std::nullopt);
}

}  // namespace
}  // namespace troupe::services
