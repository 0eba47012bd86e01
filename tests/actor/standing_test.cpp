// Whom the director calls SUSPECT or DRAINING gets no new work while another can take it.
#include <gtest/gtest.h>

#include "tests/support/actor_stage.hpp"

namespace troupe::actors {
namespace {

using namespace testing;

GenerateRequest request() { return greedy(counting_prompt(12), 6); }

void finish_well(Stage& stage, const std::shared_ptr<Recorder>& heard) {
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->reason, FinishReason::length) << heard->error.detail;
}

std::int64_t rows_of(Stage& stage, std::size_t shard) {
  return stage.shards[shard]->status().rows_total;
}

struct TwoShards : ::testing::Test {
  static StageOptions options() {
    StageOptions options;
    options.attention = 2;
    return options;
  }
  void say(MemberState first, MemberState second) {
    stage.standings(gateway_id()).set({{attention_id(0), first}, {attention_id(1), second}});
  }
  Stage stage{options()};
};

TEST_F(TwoShards, NewRequestsGoToTheActiveOne) {
  for (const auto state : {MemberState::draining, MemberState::suspect}) {
    const auto before = rows_of(stage, 0);
    say(state, MemberState::active);
    const auto one = stage.submit(request());
    const auto other = stage.submit(request());
    finish_well(stage, one);
    finish_well(stage, other);
    EXPECT_EQ(rows_of(stage, 0), before) << to_string(state);
  }
  EXPECT_GT(rows_of(stage, 1), 0);
}

TEST_F(TwoShards, ASuspectOneIsBetterThanNoneAndThanOneThatLeaves) {
  say(MemberState::suspect, MemberState::draining);
  finish_well(stage, stage.submit(request()));
  EXPECT_GT(rows_of(stage, 0), 0);
  EXPECT_EQ(rows_of(stage, 1), 0);
}

TEST_F(TwoShards, WhereBothLeaveARequestIsRefusedByName) {
  say(MemberState::draining, MemberState::draining);
  const auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run(heard));
  EXPECT_EQ(heard->error.code, Errc::unavailable);
  EXPECT_NE(heard->error.detail.find("attention 0 is draining"), std::string::npos)
      << heard->error.detail;
}

TEST_F(TwoShards, WhatIsOpenOnADrainingOneGoesOn) {
  const auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 2; }));
  ASSERT_GT(rows_of(stage, 0), 0);
  say(MemberState::draining, MemberState::active);
  finish_well(stage, heard);
  EXPECT_EQ(heard->usage.attempts, 1);
  EXPECT_EQ(rows_of(stage, 1), 0);
}

TEST_F(TwoShards, AReplayTakesADrainingOneWhereThereIsNoOther) {
  const auto heard = stage.submit(request());
  ASSERT_TRUE(stage.run_until([&] { return heard->tokens.size() == 2; }));
  say(MemberState::active, MemberState::draining);
  stage.lose(attention_id(0));
  finish_well(stage, heard);
  EXPECT_EQ(heard->usage.attempts, 2);
}

TEST(TwoRouters, NewWorkItemsGoToTheActiveOne) {
  StageOptions options;
  options.routers = 2;
  options.shard.frame_rows_max = 4;
  Stage stage{options};
  auto& standings = stage.standings(attention_id(0));
  for (const auto state : {MemberState::suspect, MemberState::draining}) {
    const auto before = stage.routers[0]->status().items_total;
    standings.set({{router_id(0), state}});
    finish_well(stage, stage.submit(request()));
    EXPECT_EQ(stage.routers[0]->status().items_total, before) << to_string(state);
    standings.set({});
    finish_well(stage, stage.submit(request()));
    EXPECT_GT(stage.routers[0]->status().items_total, before) << "it is ACTIVE again";
  }
}

TEST(TwoRouters, GoOnWhenBothDrain) {
  StageOptions options;
  options.routers = 2;
  Stage stage{options};
  stage.standings(attention_id(0))
      .set({{router_id(0), MemberState::draining}, {router_id(1), MemberState::draining}});
  finish_well(stage, stage.submit(request()));
}

TEST(TwoExperts, RowsGoToTheReplicaThatIsActive) {
  StageOptions options;
  options.experts = 2;
  const std::int64_t all = StageModel::get().config().routed_experts;
  options.ranges = {{0, all}, {0, all}};
  Stage stage{options};
  auto placement = model::static_placement(stage.config().num_layers, all, 2);
  for (auto& replicas : placement.replicas) replicas = {0, 1};
  placement.epoch = 2;
  stage.publish(placement);
  auto& standings = stage.standings(router_id(0));
  standings.set({{expert_id(0), MemberState::suspect}});
  finish_well(stage, stage.submit(request()));
  EXPECT_EQ(stage.experts[0]->status().frames_total, 0);
  standings.set({{expert_id(1), MemberState::suspect}});
  finish_well(stage, stage.submit(request()));
  EXPECT_GT(stage.experts[0]->status().frames_total, 0);
}

TEST(TwoExperts, WithoutAReplicaASuspectOneIsAskedAllTheSame) {
  StageOptions options;
  options.experts = 2;
  Stage stage{options};
  stage.standings(router_id(0)).set({{expert_id(1), MemberState::suspect}});
  finish_well(stage, stage.submit(request()));
  EXPECT_GT(stage.experts[1]->status().frames_total, 0);
}

/// Cancelled in the middle of a step, beside a request that goes on.
TEST(Cancel, FreesThePagesWithinTwoSteps) {
  for (const int tokens : {0, 1, 5}) {
    Stage stage{StageOptions{}};
    auto& shard = *stage.shards[0];
    const auto other = stage.submit(greedy(counting_prompt(12), 60));
    ASSERT_TRUE(stage.run_until([&] { return other->tokens.size() == 3; }));
    const auto alone = shard.status().kv_pages_used;
    const auto heard = stage.submit(greedy(counting_prompt(150), 60));
    ASSERT_TRUE(stage.run_until([&] {
      return shard.status().running == 2 &&
             heard->tokens.size() >= static_cast<std::size_t>(tokens) &&
             stage.routers[0]->status().items_open > 0;
    }));
    ASSERT_GT(shard.status().kv_pages_used, alone);
    const auto steps = shard.status().steps_total;
    stage.cancel(stage.last_request());
    ASSERT_TRUE(stage.run_until([&] { return shard.status().kv_pages_used == alone; }));
    EXPECT_LE(shard.status().steps_total - steps, 2) << "after " << tokens << " tokens";
    EXPECT_FALSE(other->finished());
    finish_well(stage, other);
  }
}

}  // namespace
}  // namespace troupe::actors
