// What happens when each peer disappears or freezes, on virtual time: the same bits, or a clear
// end.
#include <gtest/gtest.h>

#include "tests/support/actor_stage.hpp"

namespace troupe::actors {
namespace {

using namespace testing;

GenerateRequest request() {
  auto request = greedy(counting_prompt(40), 10);
  request.sampling.temperature = 0.7f;
  request.sampling.seed = 99;
  return request;
}

/// Tokens and logprob bits of the request where nothing goes wrong.
const Recorder& calm() {
  static const auto heard = [] {
    Stage stage{StageOptions{}};
    auto heard = stage.submit(request());
    EXPECT_TRUE(stage.run(heard));
    EXPECT_EQ(heard->reason, FinishReason::length) << heard->error.detail;
    return heard;
  }();
  return *heard;
}

void expect_the_same_bits(const Recorder& heard) {
  EXPECT_EQ(heard.reason, FinishReason::length) << heard.error.detail;
  EXPECT_EQ(heard.tokens, calm().tokens);
  EXPECT_EQ(heard.logprob_bits, calm().logprob_bits);
  EXPECT_EQ(heard.usage.replay_mismatches, 0);
}

/// A stage with a request under way, and a link on it that can freeze.
struct FreezingStage {
  FreezingStage(StageOptions options, PeerId from, PeerId to, GenerateRequest asked = request())
      : stage(with_plan(std::move(options), from, to, plan)), heard(stage.submit(asked)) {}

  /// Freezes the link once three tokens have come.
  void freeze() {
    ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 3; }));
    plan->freeze();
  }

  std::shared_ptr<transport::FaultPlan> plan = std::make_shared<transport::FaultPlan>(1);
  Stage stage;
  std::shared_ptr<Recorder> heard;

 private:
  static StageOptions with_plan(StageOptions options, PeerId from, PeerId to,
                                const std::shared_ptr<transport::FaultPlan>& plan) {
    options.faults[{from, to}] = plan;
    return options;
  }
};

std::int64_t pages_used(Stage& stage) {
  std::int64_t used = 0;
  for (auto& shard : stage.shards)
    if (shard) used += shard->status().kv_pages_used;
  return used;
}

TEST(Loss, OfAnExpertShardGoesUnnoticedWhereAReplicaIs) {
  StageOptions options;
  options.experts = 2;
  const std::int64_t all = StageModel::get().config().routed_experts;
  options.ranges = {{0, all}, {0, all}};
  Stage stage{options};
  auto placement = model::static_placement(stage.config().num_layers, all, 2);
  for (auto& replicas : placement.replicas) replicas = {0, 1};
  placement.epoch = 2;
  stage.publish(placement);
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 4; }));
  // With rows under way there; ties go to the lower id, so it is the one that has them.
  ASSERT_TRUE(stage.run_until([&] { return stage.experts[0]->status().queued_rows > 0; }));
  stage.lose(expert_id(0));
  ASSERT_TRUE(stage.run(heard));
  expect_the_same_bits(*heard);
  EXPECT_GT(stage.experts[1]->status().frames_total, 0);
}

TEST(Loss, OfTheOnlyHolderEndsItsRequestsAsUnavailableWithinTheBudget) {
  StageOptions options;
  options.experts = 2;
  Stage stage{options};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 4; }));
  stage.lose(expert_id(1));
  const auto lost_at = stage.now();
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->reason, FinishReason::error);
  EXPECT_EQ(heard->error.code, Errc::not_resident);
  EXPECT_NE(heard->error.detail.find("layer "), std::string::npos) << heard->error.detail;
  EXPECT_NE(heard->error.detail.find("expert 1 is not"), std::string::npos) << heard->error.detail;
  EXPECT_LE(stage.now() - lost_at, options.router.uncovered_budget + 10ms);
  EXPECT_EQ(pages_used(stage), 0);
}

/// Two expert shards, the default budgets, and a request that meets the loss of shard 1.
struct Uncovered : ::testing::Test {
  static StageOptions options(int routers) {
    StageOptions options;
    options.experts = 2;
    options.routers = routers;
    options.shard.uncovered_budget = options.router.uncovered_budget = 5s;
    return options;
  }
  void lose_expert(Stage& stage) {
    heard = stage.submit(request());
    ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 4; }));
    stage.lose(expert_id(1));
    lost_at = stage.now();
  }
  std::shared_ptr<Recorder> heard;
  TimePoint lost_at;
};

TEST_F(Uncovered, RowsWaitForTheirOwnTimerPastTheHopBudget) {
  Stage stage{options(1)};
  lose_expert(stage);
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->error.code, Errc::not_resident);
  EXPECT_NE(heard->error.detail.find("expert 1 is not"), std::string::npos) << heard->error.detail;
  EXPECT_GE(stage.now() - lost_at, 4500ms);  // the last question must be worth asking
  EXPECT_LE(stage.now() - lost_at, 5000ms);
  EXPECT_EQ(pages_used(stage), 0);
}

TEST_F(Uncovered, AnExpertThatIsBackInTimeGoesUnnoticed) {
  for (const auto away : {1000ms, 1800ms, 3000ms, 4500ms}) {
    Stage stage{options(1)};
    lose_expert(stage);
    while (stage.now() - lost_at < away) stage.rest(10ms);
    ASSERT_FALSE(heard->finished()) << away.count();
    stage.bring_back(1);
    ASSERT_TRUE(stage.run(heard));
    expect_the_same_bits(*heard);
  }
}

TEST_F(Uncovered, AFrozenRouterIsStillFoundByTheHopBudget) {
  auto plan = std::make_shared<transport::FaultPlan>(1);
  auto with = options(1);
  with.faults[{attention_id(0), router_id(0)}] = plan;
  with.faults[{router_id(0), attention_id(0)}] = plan;
  Stage stage{with};
  lose_expert(stage);
  while (stage.now() - lost_at < 2s) stage.rest(10ms);  // it is asked for the second time
  plan->freeze();
  const auto frozen_at = stage.now();
  ASSERT_TRUE(stage.run(heard));
  EXPECT_NE(heard->error.detail.find("router 0 did not answer"), std::string::npos)
      << heard->error.detail;
  EXPECT_LE(stage.now() - frozen_at, 2250ms);
}

TEST(Loss, OfOneRouterSendsItsWorkToTheOther) {
  StageOptions options;
  options.routers = 2;
  options.shard.frame_rows_max = 4;
  Stage stage{options};
  auto heard = stage.submit(request());
  // In the middle of the prompt, with rows at both routers.
  ASSERT_TRUE(stage.run_until([&] {
    return stage.routers[0]->status().items_open > 0 && stage.routers[1]->status().items_open > 0;
  }));
  stage.lose(router_id(0));
  ASSERT_TRUE(stage.run(heard));
  expect_the_same_bits(*heard);
  EXPECT_GT(stage.shards[0]->status().work_items_resent_total, 0);
}

/// Rows wait that were cut for no router, or for one that granted more: they are cut once more.
struct ARouterThatIsBackWithLessCredit : ::testing::Test {
  static StageOptions options(int& attention_jobs) {
    StageOptions options;
    options.run_job = [&](PeerId role, const ComputeLane::Work& job) {
      attention_jobs += role == attention_id(0) ? 1 : 0;
      job();
    };
    return options;
  }
  void bring_back_and_finish() {
    stage.bring_back(0, {.decode_rows = 0, .prefill_rows = 1});
    ASSERT_TRUE(stage.run(heard));
    expect_the_same_bits(*heard);
    EXPECT_GE(stage.routers[0]->status().items_total, 40);
  }
  int attention_jobs = 0;
  Stage stage{options(attention_jobs)};
  std::shared_ptr<Recorder> heard;
};

TEST_F(ARouterThatIsBackWithLessCredit, GetsRowsThatNoRouterHad) {
  stage.lose(router_id(0));
  heard = stage.submit(request());
  // The second job is that of the shared expert: the rows of the first layer wait beside it.
  while (attention_jobs < 2) stage.rest(1us);
  bring_back_and_finish();
}

TEST_F(ARouterThatIsBackWithLessCredit, GetsRowsThatItHadBefore) {
  heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return stage.routers[0]->status().items_open > 0; }));
  stage.lose(router_id(0));
  bring_back_and_finish();
  EXPECT_GT(stage.shards[0]->status().work_items_resent_total, 0);
}

TEST(Loss, OfTheOnlyRouterEndsRequestsAsUnavailableWithinTheHopBudget) {
  StageOptions options;
  Stage stage{options};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 2; }));
  stage.lose(router_id(0));
  const auto lost_at = stage.now();
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->error.code, Errc::unavailable) << heard->error.detail;
  EXPECT_NE(heard->error.detail.find("(router 0 "), std::string::npos) << heard->error.detail;
  EXPECT_LE(stage.now() - lost_at, options.shard.hop_budget + 10ms);
  EXPECT_EQ(pages_used(stage), 0);
}

TEST(Loss, OfAnAttentionShardIsReplayedOnAnotherWithTheSameBits) {
  StageOptions options;
  options.attention = 2;
  Stage stage{options};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 4; }));
  stage.lose(attention_id(0));
  ASSERT_TRUE(stage.run(heard));
  expect_the_same_bits(*heard);
  EXPECT_EQ(heard->usage.attempts, 2);
  EXPECT_EQ(stage.gateway->status().replays_total, 1);
}

TEST(Loss, OfAnAttentionShardBringsEveryLogitsRowOnce) {
  auto asked = request();
  asked.prompt_logits = asked.generated_logits = true;
  StageOptions options;
  options.attention = 2;
  options.shard.batch.chunk = 16;
  Stage calm_stage{options};
  auto expected = calm_stage.submit(asked);
  ASSERT_TRUE(calm_stage.run(expected));
  const auto vocab = static_cast<std::size_t>(calm_stage.config().vocab_size);
  ASSERT_EQ(expected->prompt_logits.size(), 40 * vocab);
  ASSERT_EQ(expected->generated_logits.size(), 10 * vocab);

  Stage stage{options};
  auto heard = stage.submit(asked);
  ASSERT_TRUE(stage.run_until([&] { return heard->prompt_rows == 16; }));
  stage.lose(attention_id(0));
  ASSERT_TRUE(stage.run(heard));
  expect_the_same_bits(*heard);
  EXPECT_EQ(heard->prompt_logits, expected->prompt_logits);
  EXPECT_EQ(heard->generated_logits, expected->generated_logits);
}

TEST(Loss, OfTheOnlyAttentionShardEndsRequestsAsUnavailable) {
  Stage stage{StageOptions{}};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 2; }));
  stage.lose(attention_id(0));
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->error.code, Errc::unavailable) << heard->error.detail;
  EXPECT_NE(heard->error.detail.find("(attention 0 "), std::string::npos) << heard->error.detail;
}

TEST(Loss, OfTheGatewayFreesItsPages) {
  Stage stage{StageOptions{}};
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 2; }));
  EXPECT_GT(pages_used(stage), 0);
  stage.lose(gateway_id());
  EXPECT_TRUE(stage.run_until([&] { return pages_used(stage) == 0; }));
}

TEST(Freeze, OfOneRouterIsFoundByTheHopBudget) {
  StageOptions options;
  options.routers = 2;
  FreezingStage run(options, attention_id(0), router_id(0));
  run.freeze();
  ASSERT_TRUE(run.stage.run(run.heard));
  expect_the_same_bits(*run.heard);
  EXPECT_GE(run.stage.shards[0]->status().work_items_resent_total, 1);
}

TEST(Freeze, OfTheOnlyRouterEndsRequestsByTheHopBudget) {
  FreezingStage run({}, attention_id(0), router_id(0));
  run.freeze();
  ASSERT_TRUE(run.stage.run(run.heard));
  const Error& error = run.heard->error;
  EXPECT_EQ(error.code, Errc::unavailable) << error.detail;
  EXPECT_NE(error.detail.find("router 0"), std::string::npos) << error.detail;
}

TEST(Freeze, OfTheOnlyRouterIsToldByRowsThatWaitForItsRoom) {
  StageOptions options;
  options.grant = {.decode_rows = 0, .prefill_rows = 1};
  auto plan = std::make_shared<transport::FaultPlan>(1);
  options.faults[{attention_id(0), router_id(0)}] = plan;
  Stage stage{options};
  plan->freeze();
  auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run(heard));
  const Error& error = heard->error;
  EXPECT_EQ(error.code, Errc::unavailable) << error.detail;
  const auto told =
      "no router had room for 1 row within the hop budget of 2000 ms "
      "(attempts: 0; router 0 has 1 of 1 row for 2000 ms)";
  EXPECT_NE(error.detail.find(told), std::string::npos) << error.detail;
}

TEST(Freeze, OfAnExpertShardEndsRequestsByTheHopBudgetAndNamesIt) {
  StageOptions options;
  options.experts = 2;
  FreezingStage run(options, router_id(0), expert_id(1));
  run.freeze();
  ASSERT_TRUE(run.stage.run(run.heard));
  const Error& error = run.heard->error;
  EXPECT_EQ(error.code, Errc::unavailable) << error.detail;
  EXPECT_NE(error.detail.find("asked of expert 1"), std::string::npos) << error.detail;
  // Awake again, it serves; what it still answers to the old question is stale.
  run.plan->thaw();
  auto next = run.stage.submit(request());
  ASSERT_TRUE(run.stage.run(next));
  expect_the_same_bits(*next);
}

TEST(Freeze, OfAnAttentionShardIsFoundByItsSilence) {
  StageOptions options;
  options.attention = 2;
  FreezingStage run(options, attention_id(0), gateway_id());
  run.freeze();
  ASSERT_TRUE(run.stage.run(run.heard));
  expect_the_same_bits(*run.heard);
  EXPECT_EQ(run.heard->usage.attempts, 2);
}

TEST(Freeze, OfAGatewayEndsItsLease) {
  StageOptions options;
  options.gateway.silence_budget = 1h;  // or it would drop the link first
  FreezingStage run(options, gateway_id(), attention_id(0), greedy(counting_prompt(40), 100));
  run.freeze();
  // All tokens are computed long before; what is left behind goes with the lease.
  ASSERT_TRUE(run.stage.run_until([&] { return pages_used(run.stage) == 0; }));
}

TEST(Freeze, OfAGatewayPastItsLeaseIsReplayedWhenItWakes) {
  StageOptions options;
  options.gateway.silence_budget = 1h;
  options.shard.batch.step_rows_max = 1;
  FreezingStage run(options, gateway_id(), attention_id(0), greedy(counting_prompt(40), 100));
  run.freeze();
  run.stage.rest(options.gateway.lease + 1s);  // before the shard has drawn them all
  ASSERT_TRUE(run.stage.run_until([&] { return pages_used(run.stage) == 0; }));
  ASSERT_LT(run.heard->tokens.size(), 100u);
  run.plan->thaw();
  ASSERT_TRUE(run.stage.run(run.heard));
  EXPECT_EQ(run.heard->reason, FinishReason::length) << run.heard->error.detail;
  EXPECT_EQ(run.heard->tokens.size(), 100u);
  EXPECT_EQ(run.heard->usage.attempts, 2);
  EXPECT_EQ(run.heard->usage.replay_mismatches, 0);
}

class Faulty : public ::testing::TestWithParam<transport::Fault> {};

TEST_P(Faulty, FramesChangeNoBit) {
  // Between the attention shard and two routers; whatever is lost is asked again.
  StageOptions options;
  options.routers = 2;
  options.shard.frame_rows_max = 4;
  options.shard.attempts_max = 10;
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    auto plan = std::make_shared<transport::FaultPlan>(seed);
    options.faults[{router_id(0), attention_id(0)}] = plan;
    Stage stage{options};
    plan->add(
        {.fault = GetParam(), .kind = proto::FrameKind::combined, .times = 0, .probability = 0.3});
    auto heard = stage.submit(request());
    ASSERT_TRUE(stage.run(heard)) << "seed " << seed;
    expect_the_same_bits(*heard);
    EXPECT_GT(plan->faults_total(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Between, Faulty,
                         ::testing::Values(transport::Fault::drop, transport::Fault::duplicate,
                                           transport::Fault::corrupt, transport::Fault::lose_peer),
                         [](const auto& info) {
                           switch (info.param) {
                             case transport::Fault::drop: return "Dropped";
                             case transport::Fault::duplicate: return "Duplicated";
                             case transport::Fault::corrupt: return "Corrupt";
                             default: return "Cut";
                           }
                         });

}  // namespace
}  // namespace troupe::actors
