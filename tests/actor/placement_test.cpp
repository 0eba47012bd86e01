// Epochs while tokens flow: experts move, shards that do not hold one say so, nothing changes.
#include <gtest/gtest.h>

#include "tests/support/actor_stage.hpp"

namespace troupe::actors {
namespace {

using namespace testing;

GenerateRequest request() { return greedy(counting_prompt(40), 10); }

const Recorder& calm() {
  static const auto heard = [] {
    Stage stage{StageOptions{}};
    auto heard = stage.submit(request());
    EXPECT_TRUE(stage.run(heard));
    return heard;
  }();
  return *heard;
}

std::int64_t experts() { return StageModel::get().config().routed_experts; }

model::Placement all_on(Stage& stage, model::ShardIndex shard, std::uint64_t epoch) {
  auto placement = model::static_placement(stage.config().num_layers, experts(), 1);
  for (auto& replicas : placement.replicas) replicas = {shard};
  placement.epoch = epoch;
  return placement;
}

TEST(Placement, ANewEpochMovesExpertsWithoutChangingABit) {
  StageOptions options;
  options.experts = 2;
  options.ranges = {{0, experts()}, {0, experts()}};
  Stage stage{options};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 3; }));
  const auto before = stage.experts[1]->status().frames_total;
  stage.publish(all_on(stage, 1, 2));
  EXPECT_EQ(stage.routers[0]->status().epoch, 2u);
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->tokens, calm().tokens);
  EXPECT_EQ(heard->logprob_bits, calm().logprob_bits);
  EXPECT_GT(stage.experts[1]->status().frames_total, before);
}

TEST(Placement, AnOlderEpochOrTermIsIgnored) {
  StageOptions options;
  options.experts = 2;
  options.ranges = {{0, experts()}, {0, experts()}};
  Stage stage{options};
  stage.publish(all_on(stage, 1, 5));
  stage.publish(all_on(stage, 0, 4));
  EXPECT_EQ(stage.routers[0]->status().epoch, 5u);
  auto newer_term = all_on(stage, 0, 1);
  newer_term.term = 2;
  stage.publish(newer_term);
  EXPECT_EQ(stage.routers[0]->status().term, 2u);
}

TEST(Placement, NotResidentIsResolvedByANewerEpoch) {
  StageOptions options;
  options.experts = 2;
  options.ranges = {{0, experts()}, {0, 1}};
  Stage stage{options};
  stage.publish(all_on(stage, 1, 2));  // shard 1 holds expert 0 only
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return stage.routers[0]->take_placement_wish(); }));
  stage.publish(all_on(stage, 0, 3));
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->tokens, calm().tokens) << heard->error.detail;
  EXPECT_EQ(heard->logprob_bits, calm().logprob_bits);
}

TEST(Placement, NotResidentIsAskedThreeTimesAndThenEndsTheRequest) {
  StageOptions options;
  options.experts = 2;
  options.ranges = {{0, experts()}, {0, 1}};
  Stage stage{options};
  stage.publish(all_on(stage, 1, 2));
  auto heard = stage.submit(greedy({5}, 1));
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->error.code, Errc::unavailable);
  EXPECT_NE(heard->error.detail.find("do not hold it"), std::string::npos) << heard->error.detail;
  // The first question and three more, to one shard each time.
  EXPECT_EQ(stage.routers[0]->status().not_resident_total, 4);
}

TEST(Placement, AnOverloadedShardIsAskedAgain) {
  StageOptions options;
  options.routers = 2;
  options.shard.frame_rows_max = 8;
  options.expert.queued_rows_max = 9;  // one frame at a time
  Stage stage{options};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->tokens, calm().tokens) << heard->error.detail;
  EXPECT_EQ(heard->logprob_bits, calm().logprob_bits);
  EXPECT_GT(stage.experts[0]->status().overloaded_total, 0);
}

TEST(Placement, TheBudgetOfBytesInFlightOnlySlowsDown) {
  StageOptions options;
  options.shard.frame_rows_max = 4;
  options.router.inflight_bytes_max = 1;  // one work item at a time
  Stage stage{options};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->tokens, calm().tokens) << heard->error.detail;
}

TEST(Placement, CreditsSmallerThanAStepOnlySlowDown) {
  StageOptions options;
  options.grant = {3, 4};
  Stage stage{options};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->tokens, calm().tokens) << heard->error.detail;
  EXPECT_EQ(heard->logprob_bits, calm().logprob_bits);
}

TEST(Placement, CreditsOfOneRowOnlySlowDownAndOverloadNobody) {
  StageOptions options;
  options.routers = 2;
  options.grant = {0, 1};
  Stage stage{options};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->tokens, calm().tokens) << heard->error.detail;
  EXPECT_EQ(heard->logprob_bits, calm().logprob_bits);
  EXPECT_EQ(stage.experts[0]->status().overloaded_total, 0);
}

TEST(Placement, CountsTheTokensOfEachExpert) {
  Stage stage{StageOptions{}};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run(heard));
  const auto& config = stage.config();
  const auto tokens = stage.experts[0]->status().tokens;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    std::int64_t sum = 0;
    for (int e = 0; e < config.routed_experts; ++e)
      sum += tokens[static_cast<std::size_t>(layer * config.routed_experts + e)];
    // 40 prompt rows and 9 generated ones (the last token is never an input), K experts each; in
    // the last layer only those that a token is drawn from.
    const int rows = layer + 1 < config.num_layers ? 49 : 10;
    EXPECT_EQ(sum, config.is_moe(layer) ? rows * config.experts_per_token : 0) << "layer " << layer;
  }
}

}  // namespace
}  // namespace troupe::actors
