// Every sampling parameter of every API arrives at the engine, each in its own place.
#include <gtest/gtest.h>

#include "services/gateway/grpc/messages.hpp"
#include "services/gateway/http/completion_request.hpp"
#include "services/gateway/request_planner.hpp"
#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services {
namespace {

/// What the tests below send, no two members equal.
const std::string kSharedMembers = R"(
    "temperature": 0.5, "top_p": 0.75, "top_k": 11, "min_p": 0.0625,
    "frequency_penalty": 0.25, "presence_penalty": -0.375, "repetition_penalty": 1.125,
    "logit_bias": {"300": 2.25, "5": -1.5}, "seed": 99, "n": 3, "max_tokens": 40, "min_tokens": 6,
    "ignore_eos": true, "stop": ["END", "\n\n"], "stop_token_ids": [12, 9],
    "include_stop_str_in_output": true, "allowed_token_ids": [20, 8, 31], "bad_words": ["evil"],
    "prompt_logprobs": 4, "priority": -8, "cache_salt": "salt")";

v1::GenerateRequest grpc_request() {
  v1::GenerateRequest request;
  request.set_text("Hi");
  request.set_priority(-8);
  request.set_cache_salt("salt");
  v1::SamplingParams& sampling = *request.mutable_sampling();
  sampling.set_temperature(0.5f);
  sampling.set_top_p(0.75f);
  sampling.set_top_k(11);
  sampling.set_min_p(0.0625f);
  sampling.set_frequency_penalty(0.25f);
  sampling.set_presence_penalty(-0.375f);
  sampling.set_repetition_penalty(1.125f);
  (*sampling.mutable_logit_bias())[300] = 2.25f;
  (*sampling.mutable_logit_bias())[5] = -1.5f;
  sampling.set_seed(99);
  sampling.set_n(3);
  sampling.set_max_tokens(40);
  sampling.set_min_tokens(6);
  sampling.set_ignore_eos(true);
  sampling.add_stop("END");
  sampling.add_stop("\n\n");
  sampling.add_stop_token_ids(12);
  sampling.add_stop_token_ids(9);
  sampling.set_include_stop_str_in_output(true);
  for (const std::int32_t id : {20, 8, 31}) sampling.add_allowed_token_ids(id);
  sampling.add_bad_words("evil");
  sampling.set_logprobs(7);
  sampling.set_prompt_logprobs(4);
  return request;
}

using Read = Answered<http::CompletionRequest>;

GenerateCall http_call(Read (*read)(const http::JsonValue::Object&), const std::string& members) {
  const auto body = model::parse_json("{" + members + "," + kSharedMembers + "}");
  auto request = read(*body.value().object());
  if (auto* error = std::get_if<ApiError>(&request)) ADD_FAILURE() << error->message;
  auto& taken = std::get<http::CompletionRequest>(request);
  EXPECT_EQ(taken.ignored, std::vector<std::string>{});
  EXPECT_EQ(taken.calls.size(), 1u);
  return taken.calls.front();
}

PlannedRequest plan_of(const GenerateCall& call) {
  auto planned = plan_request(tiny_served(), call);
  if (auto* error = std::get_if<ApiError>(&planned)) ADD_FAILURE() << error->message;
  return std::get<PlannedRequest>(std::move(planned));
}

/// Names every member: one that is added to SamplingParams does not compile before it is sent and
/// expected here.
void expect_all(const model::SamplingParams& planned, std::uint32_t expected_choice) {
  const auto& [temperature, top_p, top_k, min_p, presence_penalty, frequency_penalty,
               repetition_penalty, logit_bias, allowed_token_ids, bad_words, seed, max_tokens,
               min_tokens, ignore_eos, stop_token_ids, top_logprobs, choice] = planned;
  EXPECT_EQ(temperature, 0.5f);
  EXPECT_EQ(top_p, 0.75f);
  EXPECT_EQ(top_k, 11);
  EXPECT_EQ(min_p, 0.0625f);
  EXPECT_EQ(presence_penalty, -0.375f);
  EXPECT_EQ(frequency_penalty, 0.25f);
  EXPECT_EQ(repetition_penalty, 1.125f);
  EXPECT_EQ(logit_bias, (std::vector<std::pair<std::int32_t, float>>{{5, -1.5f}, {300, 2.25f}}));
  EXPECT_EQ(allowed_token_ids, (std::vector<std::int32_t>{20, 8, 31}));
  ASSERT_EQ(bad_words.size(), 2u) << "with and without a space";
  EXPECT_EQ(bad_words[0], *tiny_served().tokenizer()->encode("evil"));
  EXPECT_EQ(seed, 99u);
  EXPECT_EQ(max_tokens, 40);
  EXPECT_EQ(min_tokens, 6);
  EXPECT_TRUE(ignore_eos);
  EXPECT_EQ(stop_token_ids, (std::vector<std::int32_t>{12, 9})) << "none of the model's own";
  EXPECT_EQ(top_logprobs, 7);
  EXPECT_EQ(choice, expected_choice);
}

void expect_arrival(const GenerateCall& call) {
  const auto plan = plan_of(call);
  EXPECT_EQ(plan.drawn_seed, std::nullopt);
  EXPECT_EQ(plan.form.stops, (std::vector<std::string>{"END", "\n\n"}));
  EXPECT_TRUE(plan.form.include_stop);
  EXPECT_EQ(plan.form.silent_ids, (std::vector<std::int32_t>{12, 9}));
  EXPECT_EQ(plan.form.min_tokens, 6);
  EXPECT_TRUE(plan.form.logprobs);
  EXPECT_EQ(plan.request.prompt_logprobs, 4);
  EXPECT_EQ(plan.request.priority, -8);
  GenerateCall unsalted = call;
  unsalted.cache_salt.clear();
  EXPECT_NE(plan.request.cache_salt, plan_of(unsalted).request.cache_salt);
  const auto choices = choices_of(plan);
  ASSERT_EQ(choices.size(), 3u);
  for (std::uint32_t i = 0; i < 3; ++i) expect_all(choices[i].request.sampling, i);
}

TEST(SamplingArrival, OfAChatOverHttp) {
  const auto body = R"("messages": [{"role": "user", "content": "Hi"}],
                       "logprobs": true, "top_logprobs": 7)";
  expect_arrival(http_call(http::read_chat, body));
}

TEST(SamplingArrival, OfACompletionOverHttp) {
  expect_arrival(http_call(http::read_completion, R"("prompt": "Hi", "logprobs": 7)"));
}

TEST(SamplingArrival, OfARequestOverGrpc) { expect_arrival(to_call(grpc_request())); }

/// The model's defaults, which differ from zeros (temperature 0.7, top_p 0.95), give way to them.
TEST(SamplingArrival, OverGrpcAZeroThatIsGivenIsNoAbsentValue) {
  v1::GenerateRequest request;
  request.set_text("Hi");
  request.mutable_sampling()->set_temperature(0);
  request.mutable_sampling()->set_seed(0);
  request.mutable_sampling()->set_logprobs(0);
  const auto plan = plan_of(to_call(request));
  EXPECT_EQ(plan.request.sampling.temperature, 0);
  EXPECT_EQ(plan.request.sampling.top_p, 0.95f);
  EXPECT_EQ(plan.request.sampling.seed, 0u);
  EXPECT_TRUE(plan.form.logprobs);
  EXPECT_EQ(plan.request.sampling.stop_token_ids, std::vector<std::int32_t>{1});
}

}  // namespace
}  // namespace troupe::services
