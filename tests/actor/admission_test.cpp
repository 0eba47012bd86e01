// What a cluster refuses, what waits, and what is withdrawn.
#include <gtest/gtest.h>

#include "tests/support/actor_stage.hpp"

namespace troupe::actors {
namespace {

using namespace testing;

TEST(Admission, RunsMoreRequestsThanFitAtOnceOneAfterTheOther) {
  StageOptions options;
  options.shard.kv_pages_max = 2;  // each of these needs one page
  Stage stage{options};
  std::vector<std::shared_ptr<Recorder>> heard;
  for (int i = 0; i < 5; ++i) heard.push_back(stage.submit(greedy(counting_prompt(20 + i), 6)));
  for (auto& one : heard) {
    ASSERT_TRUE(stage.run(one));
    EXPECT_EQ(one->reason, FinishReason::length) << one->error.detail;
  }
  EXPECT_EQ(stage.shards[0]->status().kv_pages_used, 0);
}

TEST(Admission, RefusesWhatCanNeverFitTheCache) {
  StageOptions options;
  options.shard.kv_pages_max = 1;
  Stage stage{options};
  auto heard = stage.submit(greedy(counting_prompt(60), 6));
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->error.code, Errc::out_of_range) << heard->error.detail;
  auto fits = stage.submit(greedy(counting_prompt(60), 5));  // 64 inputs: the last token is none
  ASSERT_TRUE(stage.run(fits));
  EXPECT_EQ(fits->reason, FinishReason::length) << fits->error.detail;
}

TEST(Admission, RefusesMoreThanTheModelsPositions) {
  Stage stage{StageOptions{}};
  auto heard = stage.submit(greedy({1, 2}, stage.config().max_position_embeddings));
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->error.code, Errc::out_of_range) << heard->error.detail;
}

TEST(Admission, AnswersOverloadedWhenTheQueueIsFull) {
  StageOptions options;
  options.shard.kv_pages_max = 1;
  options.shard.batch.waiting.waiting_max = 2;
  Stage stage{options};
  std::vector<std::shared_ptr<Recorder>> heard;
  heard.push_back(stage.submit(greedy(counting_prompt(20), 20)));
  ASSERT_TRUE(stage.run_until([&] { return !heard[0]->tokens.empty(); }));
  for (int i = 0; i < 3; ++i) heard.push_back(stage.submit(greedy(counting_prompt(20), 2)));
  for (auto& one : heard) ASSERT_TRUE(stage.run(one));
  EXPECT_EQ(heard[2]->reason, FinishReason::length);
  EXPECT_EQ(heard[3]->error.code, Errc::overloaded) << heard[3]->error.detail;
}

TEST(Admission, RefusesTooManyOpenRequestsAtTheGateway) {
  StageOptions options;
  options.gateway.requests_max = 1;
  Stage stage{options};
  auto first = stage.submit(greedy(counting_prompt(20), 4));
  auto second = stage.submit(greedy(counting_prompt(20), 4));
  ASSERT_TRUE(stage.run(second));
  EXPECT_EQ(second->error.code, Errc::overloaded);
  ASSERT_TRUE(stage.run(first));
  EXPECT_EQ(first->reason, FinishReason::length);
}

TEST(Admission, PicksTheShardWithTheFewestOutstandingTokens) {
  StageOptions options;
  options.attention = 2;
  Stage stage{options};
  stage.submit(greedy(counting_prompt(30), 30));  // shard 0: a tie goes to the lower id
  stage.submit(greedy(counting_prompt(10), 10));  // shard 1
  auto third = stage.submit(greedy(counting_prompt(10), 10));  // shard 1 again: 20 < 60
  ASSERT_TRUE(stage.run_until([&] { return !third->tokens.empty(); }));
  EXPECT_EQ(stage.shards[0]->status().running, 1);
  EXPECT_EQ(stage.shards[1]->status().running, 2);
}

TEST(Admission, ADeadlineEndsARequestAtAStepBoundaryAndNoOther) {
  StageOptions options;
  options.shard.kv_pages_max = 1;
  Stage stage{options};
  auto longer = stage.submit(greedy(counting_prompt(20), 30));
  auto asked = greedy(counting_prompt(20), 10);
  asked.deadline = 1ms;
  auto waits = stage.submit(asked);  // for the page of the first
  ASSERT_TRUE(stage.run_until([&] { return !longer->tokens.empty(); }));
  stage.rest(2ms);
  ASSERT_TRUE(stage.run(waits));
  EXPECT_EQ(waits->error.code, Errc::deadline_exceeded) << waits->error.detail;
  ASSERT_TRUE(stage.run(longer));
  EXPECT_EQ(longer->reason, FinishReason::length);
}

TEST(Admission, ACancelledRequestFreesItsPages) {
  Stage stage{StageOptions{}};
  auto heard = stage.submit(greedy(counting_prompt(20), 40));
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 3; }));
  stage.cancel(stage.last_request());
  EXPECT_EQ(heard->reason, FinishReason::cancelled);
  EXPECT_TRUE(stage.run_until([&] { return stage.shards[0]->status().kv_pages_used == 0; }));
  EXPECT_EQ(heard->tokens.size(), 3u);
}

TEST(Admission, StopsAtAStopIdAndSaysSo) {
  Stage stage{StageOptions{}};
  auto all = stage.submit(greedy(counting_prompt(20), 10));
  ASSERT_TRUE(stage.run(all));
  auto asked = greedy(counting_prompt(20), 10);
  asked.sampling.ignore_eos = false;
  asked.sampling.stop_token_ids = {all->tokens[4]};
  auto heard = stage.submit(asked);
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->reason, FinishReason::stop);
  const auto first = std::find(all->tokens.begin(), all->tokens.end(), all->tokens[4]);
  EXPECT_EQ(heard->tokens.size(), static_cast<std::size_t>(first - all->tokens.begin()) + 1);
}

TEST(Admission, ComputesOnlyThePromptWhenNoTokenIsWanted) {
  Stage stage{StageOptions{}};
  auto asked = greedy(counting_prompt(20), 0);
  asked.prompt_logits = true;
  auto heard = stage.submit(asked);
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->reason, FinishReason::length) << heard->error.detail;
  EXPECT_TRUE(heard->tokens.empty());
  EXPECT_EQ(heard->prompt_rows, 20);
  EXPECT_EQ(heard->prompt_done, 20);
}

TEST(Admission, TheFirstGeneratedLogitsAreTheLastPromptLogits) {
  Stage stage{StageOptions{}};
  auto asked = greedy(counting_prompt(20), 3);
  asked.prompt_logits = asked.generated_logits = true;
  auto heard = stage.submit(asked);
  ASSERT_TRUE(stage.run(heard));
  const auto vocab = static_cast<std::size_t>(stage.config().vocab_size);
  ASSERT_EQ(heard->generated_logits.size(), 3 * vocab);
  const std::vector<float> last(heard->prompt_logits.end() - static_cast<std::ptrdiff_t>(vocab),
                                heard->prompt_logits.end());
  const std::vector<float> first(
      heard->generated_logits.begin(),
      heard->generated_logits.begin() + static_cast<std::ptrdiff_t>(vocab));
  EXPECT_EQ(first, last);
}

TEST(Admission, AFailedWorkItemEndsOnlyTheRequestsInIt) {
  // The first work item of the step never comes back; the requests in the others go on.
  StageOptions options;
  auto plan = std::make_shared<transport::FaultPlan>(1);
  options.faults[{router_id(0), attention_id(0)}] = plan;
  options.shard.frame_rows_max = 20;
  Stage stage{options};
  auto other = stage.submit(greedy(counting_prompt(20), 8));
  ASSERT_TRUE(stage.run(other));
  plan->add({.fault = transport::Fault::drop, .kind = proto::FrameKind::combined});
  auto hit = stage.submit(greedy(counting_prompt(20), 8));
  auto spared = stage.submit(greedy(counting_prompt(20), 8));
  ASSERT_TRUE(stage.run(hit));
  ASSERT_TRUE(stage.run(spared));
  EXPECT_EQ(hit->error.code, Errc::unavailable) << hit->error.detail;
  EXPECT_EQ(spared->reason, FinishReason::length) << spared->error.detail;
  EXPECT_EQ(spared->tokens, other->tokens);
  EXPECT_EQ(spared->logprob_bits, other->logprob_bits);
}

}  // namespace
}  // namespace troupe::actors
