// Logprobs of tokens and prompts, and the choices of a request, from the shard to the listener.
#include <gtest/gtest.h>

#include "actors/request_checks.hpp"
#include "tests/support/actor_stage.hpp"

namespace troupe::actors {
namespace {

using namespace testing;

GenerateRequest sampled(int prompt, std::int32_t max_tokens, std::uint64_t seed) {
  auto asked = greedy(counting_prompt(prompt), max_tokens);
  asked.sampling.temperature = 0.9f;
  asked.sampling.seed = seed;
  return asked;
}

/// What `model::score` says of row `row` of recorded logits.
model::Sample judged(Stage& stage, const std::vector<float>& logits, std::size_t row,
                     std::int32_t token, std::int32_t top) {
  const auto vocab = static_cast<std::size_t>(stage.config().vocab_size);
  const auto score =
      model::score(*StageModel::get().engine.table, std::span(logits).subspan(row * vocab, vocab),
                   {.token = token,
                    .position = static_cast<std::int64_t>(row) + 1,
                    .valid_vocab = stage.config().vocab_size,
                    .top = top});
  EXPECT_TRUE(score);
  return *score;
}

TEST(Logprobs, OfThePromptAreThoseOfItsLogits) {
  StageOptions options;
  options.shard.batch.chunk = 7;
  Stage stage{options};
  auto asked = greedy(counting_prompt(40), 2);
  asked.prompt_logits = true;
  asked.prompt_logprobs = 3;
  auto heard = stage.submit(asked);
  ASSERT_TRUE(stage.run(heard));
  ASSERT_EQ(heard->reason, FinishReason::length) << heard->error.detail;
  ASSERT_EQ(heard->prompt_logprobs.size(), 39u);
  for (std::size_t i = 0; i < 39; ++i) {
    const auto expected = judged(stage, heard->prompt_logits, i, asked.prompt[i + 1], 3);
    const PromptLogprob want{asked.prompt[i + 1], expected.logprob, expected.top, expected.rank};
    EXPECT_EQ(heard->prompt_logprobs[i], want) << "position " << i + 1;
    EXPECT_EQ(want.top.size(), 3u);
    EXPECT_GE(want.rank, 1);
  }
}

TEST(Logprobs, OfAPromptOfOneTokenAreNone) {
  Stage stage{StageOptions{}};
  auto asked = greedy({5}, 2);
  asked.prompt_logprobs = 0;
  auto heard = stage.submit(asked);
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->tokens.size(), 2u);
  EXPECT_TRUE(heard->prompt_logprobs.empty());
}

TEST(Logprobs, OfAPromptThatIsOnlyComputed) {
  Stage stage{StageOptions{}};
  auto asked = greedy(counting_prompt(20), 0);
  asked.prompt_logprobs = 0;
  auto heard = stage.submit(asked);
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->reason, FinishReason::length) << heard->error.detail;
  ASSERT_EQ(heard->prompt_logprobs.size(), 19u);
  for (const auto& one : heard->prompt_logprobs) EXPECT_TRUE(one.top.empty());
}

TEST(Logprobs, OfTokensBringTheirAlternatives) {
  Stage stage{StageOptions{}};
  auto asked = sampled(20, 6, 7);
  asked.generated_logits = true;
  asked.sampling.top_logprobs = 5;
  auto heard = stage.submit(asked);
  ASSERT_TRUE(stage.run(heard));
  ASSERT_EQ(heard->tokens.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) {
    const auto expected = judged(stage, heard->generated_logits, i, heard->tokens[i], 5);
    EXPECT_EQ(heard->top[i], expected.top) << "token " << i;
    EXPECT_EQ(heard->logprob_bits[i], std::bit_cast<std::uint32_t>(expected.logprob));
  }
}

TEST(Logprobs, OfAPromptComeOnceThoughItsShardIsLost) {
  StageOptions options;
  options.attention = 2;
  options.shard.batch.chunk = 7;
  Stage stage{options};
  auto asked = greedy(counting_prompt(40), 2);
  asked.prompt_logprobs = 2;
  auto whole = stage.submit(asked);
  ASSERT_TRUE(stage.run(whole));
  auto heard = stage.submit(asked);
  ASSERT_TRUE(stage.run_until([&] { return heard->prompt_logprobs.size() >= 13; }));
  ASSERT_LT(heard->prompt_logprobs.size(), 39u);
  const bool on_first = stage.shards[0]->status().running > 0;
  stage.lose(attention_id(on_first ? 0 : 1));
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->usage.attempts, 2);
  EXPECT_EQ(heard->prompt_logprobs, whole->prompt_logprobs);
  EXPECT_EQ(heard->tokens, whole->tokens);
}

TEST(Choices, DifferAndRepeat) {
  Stage stage{StageOptions{}};
  const auto draw = [&] {
    std::vector<std::shared_ptr<Recorder>> heard;
    for (std::uint32_t choice = 0; choice < 4; ++choice) {
      auto asked = sampled(20, 12, 99);
      asked.choices = 4;
      asked.sampling.choice = choice;
      heard.push_back(stage.submit(asked));
    }
    std::vector<std::vector<std::int32_t>> all;
    for (auto& one : heard) {
      EXPECT_TRUE(stage.run(one));
      all.push_back(one->tokens);
    }
    return all;
  };
  const auto first = draw();
  EXPECT_EQ(draw(), first);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(first[i], first[j]) << i << " and " << j;
  auto alone = stage.submit(sampled(20, 12, 99));
  ASSERT_TRUE(stage.run(alone));
  EXPECT_EQ(alone->tokens, first[0]) << "choice 0 draws as if there were no others";
}

TEST(Usage, SaysHowLongARequestWaited) {
  StageOptions options;
  options.shard.batch.running_max = 1;
  Stage stage{options};
  auto first = stage.submit(greedy(counting_prompt(20), 20));
  ASSERT_TRUE(stage.run_until([&] { return !first->tokens.empty(); }));
  auto second = stage.submit(greedy(counting_prompt(20), 2));
  ASSERT_TRUE(stage.run_until([&] { return stage.shards[0]->status().waiting == 1; }));
  stage.rest(30ms);
  ASSERT_TRUE(stage.run(second));
  EXPECT_EQ(first->usage.queue_time, 0ms);
  EXPECT_GE(second->usage.queue_time, 30ms);
}

TEST(RequestChecks, NameWhatIsWrongWithLogprobsAndChoices) {
  const auto& config = StageModel::get().config();
  const auto detail = [&](auto change) {
    auto asked = greedy({1, 2, 3}, 4);
    change(asked);
    const auto checked = check_request(asked, config);
    EXPECT_FALSE(checked);
    if (checked) return std::string();
    EXPECT_EQ(checked.error().code, Errc::invalid_argument);
    return checked.error().detail;
  };
  EXPECT_NE(detail([](auto& r) { r.prompt_logprobs = 21; }).find("prompt_logprobs is 21"),
            std::string::npos);
  EXPECT_NE(detail([](auto& r) { r.prompt_logprobs = -1; }).find("prompt_logprobs"),
            std::string::npos);
  EXPECT_NE(detail([](auto& r) { r.choices = 0; }).find("choice"), std::string::npos);
  EXPECT_NE(detail([](auto& r) { r.choices = 129; }).find("of 129"), std::string::npos);
  EXPECT_NE(detail([](auto& r) { r.sampling.choice = 1; }).find("choice 1 of 1"),
            std::string::npos);
  const auto padding = detail([](auto& r) {
    r.prompt_logprobs = 0;
    r.valid_vocab = 3;
  });
  EXPECT_NE(padding.find("token id 3 at position 2"), std::string::npos) << padding;
  EXPECT_NE(detail([](auto& r) {
              r.grammar.text.assign(proto::kGrammarBytesMax + 1, 'a');
            }).find("grammar"),
            std::string::npos);
}

}  // namespace
}  // namespace troupe::actors
