// Whole clusters inside one process: text comes out, errors are said, peers may be lost.
#include "actors/local_cluster.hpp"

#include <gtest/gtest.h>

#include "actors/role_settings.hpp"
#include "tests/support/actor_listener.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::actors {
namespace {

using testing::greedy;
using testing::Recorder;

const model::Checkpoint& mini() {
  static const auto checkpoint =
      model::Checkpoint::open(std::string(troupe::kSourceDir) + "/tests/goldens/v3-mini/model");
  EXPECT_TRUE(checkpoint) << (checkpoint ? "" : checkpoint.error().detail);
  return *checkpoint;
}

std::unique_ptr<LocalCluster> start(ClusterSettings settings, ClusterHooks hooks = {}) {
  settings.threads = 2;
  auto cluster = LocalCluster::start(mini(), settings, std::move(hooks));
  EXPECT_TRUE(cluster) << (cluster ? "" : cluster.error().detail);
  return cluster ? std::move(*cluster) : nullptr;
}

std::shared_ptr<Recorder> submit(LocalCluster& cluster, GenerateRequest request) {
  auto heard = std::make_shared<Recorder>();
  const auto id = cluster.submit(std::move(request), heard);
  EXPECT_TRUE(id) << (id ? "" : id.error().detail);
  return heard;
}

/// What 5, 6, 7 goes on with, undisturbed.
const Recorder& calm() {
  static const auto heard = [] {
    auto cluster = start({});
    auto heard = submit(*cluster, greedy({5, 6, 7}, 40));
    EXPECT_TRUE(heard->wait());
    return heard;
  }();
  return *heard;
}

TEST(LocalCluster, GeneratesGreedyTokens) {
  auto cluster = start({});
  auto heard = submit(*cluster, greedy({1, 2, 3, 4, 5}, 8));
  ASSERT_TRUE(heard->wait());
  EXPECT_EQ(heard->reason, FinishReason::length) << heard->error.detail;
  EXPECT_EQ(heard->tokens.size(), 8u);
  EXPECT_EQ(heard->positions.front(), 5);
  EXPECT_EQ(heard->positions.back(), 12);
  EXPECT_EQ(heard->prompt_done, 5);
  EXPECT_EQ(heard->usage.attempts, 1);
  EXPECT_EQ(heard->usage.prompt_tokens, 5);
  EXPECT_EQ(heard->usage.generated_tokens, 8);
}

TEST(LocalCluster, SaysHowItIsDoing) {
  ClusterSettings settings;
  settings.experts = 3;
  settings.attention = 2;
  settings.routers = 2;
  settings.kv_tokens_max = 640;
  auto cluster = start(settings);
  auto heard = submit(*cluster, greedy({1, 2, 3}, 5));
  ASSERT_TRUE(heard->wait());
  const auto status = cluster->status();
  EXPECT_EQ(status.term, 1u << 16);  // the first one of router 0
  EXPECT_EQ(status.epoch, 1u);
  EXPECT_EQ(status.requests_total, 1);
  EXPECT_EQ(status.requests_open, 0);
  EXPECT_EQ(status.kv_pages_max, 20);
  EXPECT_GE(status.steps_total, 5);
  EXPECT_NE(status.numerics_id, 0u);
  std::int64_t tokens = 0;
  for (const auto count : status.expert_tokens) tokens += count;
  EXPECT_GT(tokens, 0);
}

TEST(LocalCluster, TellsItsShardsWhatPromptsMayTake) {
  ClusterSettings settings;
  settings.prompt_budget = std::chrono::milliseconds(30);
  EXPECT_EQ(attention_settings(settings, mini()).prompt_budget.count(), 30);
}

TEST(LocalCluster, FramesHaveRowsWhoseAnswersAreNoLargerThanAFrame) {
  const auto rows = [](std::int64_t width, std::int64_t experts_per_token, auto mode) {
    model::ModelConfig config;
    config.hidden_size = width;
    config.experts_per_token = experts_per_token;
    const model::Numerics numerics{mode};
    const auto most = frame_rows_max(config, numerics);
    EXPECT_EQ(router_settings({.mode = mode}, config).dispatch_rows_max, most);
    // The frame of such an answer, and of one with a row more.
    const auto bytes = [&](std::int64_t asked) {
      const auto pairs = static_cast<std::size_t>(asked * experts_per_token);
      return proto::kHeaderBytes + pairs * sizeof(proto::ReplyPair) +
             proto::row_block_bytes(static_cast<std::uint32_t>(pairs),
                                    static_cast<std::uint32_t>(width),
                                    wire_dtype(numerics.row_dtype()));
    };
    if (most > 1) {
      EXPECT_LE(bytes(most), proto::kFrameBytesMax);
    }
    if (most < proto::kRowsMax) {
      EXPECT_GT(bytes(most + 1) + 8192, proto::kFrameBytesMax);
    }
    return most;
  };
  using enum model::ActivationMode;
  EXPECT_EQ(rows(7168, 8, bf16), proto::kRowsMax);
  EXPECT_EQ(rows(7168, 8, f32), proto::kRowsMax);
  EXPECT_LT(rows(7168, 16, f32), proto::kRowsMax);
  EXPECT_EQ(rows(65536, 1024, f32), 1);  // no answer fits
  EXPECT_EQ(router_settings({.frame_rows_max = 4}, mini().config()).dispatch_rows_max, 4);
}

TEST(LocalCluster, RefusesSettingsThatCannotWork) {
  const auto code = [](ClusterSettings settings) {
    auto cluster = LocalCluster::start(mini(), settings);
    return cluster ? Errc::ok : cluster.error().code;
  };
  ClusterSettings settings;
  settings.experts = mini().config().routed_experts + 1;
  EXPECT_EQ(code(settings), Errc::invalid_argument);
  settings = {};
  settings.routers = 0;
  EXPECT_EQ(code(settings), Errc::invalid_argument);
  settings = {};
  settings.chunk = 0;
  EXPECT_EQ(code(settings), Errc::invalid_argument);
  settings = {};
  settings.frame_rows_max = proto::kRowsMax + 1;
  EXPECT_EQ(code(settings), Errc::invalid_argument);
}

TEST(LocalCluster, RefusesRequestsThatAreWrongAtOnce) {
  auto cluster = start({});
  auto heard = std::make_shared<Recorder>();
  const auto code = [&](GenerateRequest request) {
    const auto id = cluster->submit(std::move(request), heard);
    return id ? Errc::ok : id.error().code;
  };
  EXPECT_EQ(code(greedy({}, 4)), Errc::invalid_argument);
  EXPECT_EQ(code(greedy({mini().config().vocab_size}, 4)), Errc::out_of_range);
  EXPECT_EQ(code(greedy({1}, mini().config().max_position_embeddings)), Errc::out_of_range);
  auto hot = greedy({1}, 4);
  hot.sampling.top_p = 7;
  EXPECT_EQ(code(hot), Errc::invalid_argument);
  EXPECT_FALSE(heard->finished());
}

TEST(LocalCluster, CancelsARequestWithoutDisturbingOthers) {
  auto cluster = start({});
  auto endless = std::make_shared<Recorder>();
  const auto id = cluster->submit(greedy({9, 8}, 2000), endless);
  ASSERT_TRUE(id) << id.error().detail;
  auto other = submit(*cluster, greedy({5, 6, 7}, 40));
  ASSERT_TRUE(endless->wait_for_tokens(3));
  cluster->cancel(*id);
  ASSERT_TRUE(endless->wait());
  EXPECT_EQ(endless->reason, FinishReason::cancelled);
  ASSERT_TRUE(other->wait());
  EXPECT_EQ(other->tokens, calm().tokens);
  EXPECT_EQ(cluster->status().kv_pages_used, 0);
}

TEST(LocalCluster, TellsOpenRequestsWhenItEnds) {
  auto cluster = start({});
  std::vector<std::shared_ptr<Recorder>> heard;
  for (int i = 0; i < 5; ++i) heard.push_back(submit(*cluster, greedy({9, i}, 2000)));
  ASSERT_TRUE(heard[0]->wait_for_tokens(1));
  cluster.reset();
  for (auto& one : heard) {
    EXPECT_TRUE(one->finished());
    EXPECT_EQ(one->reason, FinishReason::cancelled);
  }
}

TEST(LocalCluster, EndsARequestAtItsDeadline) {
  auto cluster = start({});
  auto asked = greedy({9, 8}, 2000);
  asked.deadline = std::chrono::milliseconds(1);
  auto heard = submit(*cluster, asked);
  ASSERT_TRUE(heard->wait());
  EXPECT_EQ(heard->reason, FinishReason::error);
  EXPECT_EQ(heard->error.code, Errc::deadline_exceeded) << heard->error.detail;
}

TEST(LocalCluster, ReplaysOnAnotherAttentionShard) {
  ClusterSettings settings;
  settings.attention = 2;
  auto cluster = start(settings);
  auto heard = submit(*cluster, greedy({5, 6, 7}, 40));
  ASSERT_TRUE(heard->wait_for_tokens(2));
  cluster->kill(peer_id(proto::Role::attention, 0));
  ASSERT_TRUE(heard->wait());
  EXPECT_EQ(heard->reason, FinishReason::length) << heard->error.detail;
  EXPECT_EQ(heard->tokens, calm().tokens);
  EXPECT_EQ(heard->logprob_bits, calm().logprob_bits);
  EXPECT_EQ(heard->usage.replay_mismatches, 0);
}

TEST(LocalCluster, GoesOnWithTheOtherRouter) {
  ClusterSettings settings;
  settings.routers = 2;
  settings.frame_rows_max = 2;
  auto cluster = start(settings);
  auto heard = submit(*cluster, greedy({5, 6, 7}, 40));
  ASSERT_TRUE(heard->wait_for_tokens(2));
  cluster->kill(peer_id(proto::Role::router, 1));
  ASSERT_TRUE(heard->wait());
  EXPECT_EQ(heard->tokens, calm().tokens) << heard->error.detail;
  EXPECT_EQ(heard->logprob_bits, calm().logprob_bits);
}

TEST(LocalCluster, NamesTheExpertShardThatIsGone) {
  ClusterSettings settings;
  settings.experts = 2;
  settings.uncovered_budget = std::chrono::milliseconds(20);
  auto cluster = start(settings);
  auto heard = submit(*cluster, greedy({5, 6, 7}, 2000));
  ASSERT_TRUE(heard->wait_for_tokens(2));
  cluster->kill(peer_id(proto::Role::expert, 1));
  ASSERT_TRUE(heard->wait());
  EXPECT_EQ(heard->reason, FinishReason::error);
  EXPECT_EQ(heard->error.code, Errc::not_resident) << heard->error.detail;
  EXPECT_NE(heard->error.detail.find("expert 1 is not"), std::string::npos) << heard->error.detail;
}

TEST(LocalCluster, MovesExpertsInANewEpochWithTheSameBits) {
  const std::int64_t experts = mini().config().routed_experts;
  ClusterSettings settings;
  settings.experts = 2;
  ClusterHooks hooks;
  hooks.expert_ranges = {{0, experts}, {0, experts}};
  auto cluster = start(settings, hooks);
  auto heard = submit(*cluster, greedy({5, 6, 7}, 40));
  ASSERT_TRUE(heard->wait_for_tokens(2));
  auto placement = model::static_placement(mini().config().num_layers, experts, 1);
  const auto epoch = cluster->publish(placement);  // everything on shard 0
  ASSERT_TRUE(epoch) << epoch.error().detail;
  EXPECT_EQ(*epoch, 2u);
  ASSERT_TRUE(heard->wait());
  EXPECT_EQ(heard->tokens, calm().tokens);
  EXPECT_EQ(heard->logprob_bits, calm().logprob_bits);
  for (auto& replicas : placement.replicas) replicas = {7};
  EXPECT_EQ(cluster->publish(placement).error().code, Errc::invalid_argument);
}

TEST(LocalCluster, SurvivesFramesThatAreDoubledAndCut) {
  ClusterSettings settings;
  settings.routers = 2;
  settings.frame_rows_max = 1;
  ClusterHooks hooks;
  auto plan = std::make_shared<transport::FaultPlan>(7);
  hooks.faults.push_back(
      {peer_id(proto::Role::router, 0), peer_id(proto::Role::attention, 0), plan});
  auto cluster = start(settings, hooks);
  plan->add(
      {.fault = transport::Fault::duplicate, .kind = proto::FrameKind::combined, .times = 20});
  auto heard = submit(*cluster, greedy({5, 6, 7}, 40));
  ASSERT_TRUE(heard->wait_for_tokens(10));
  plan->lose_peer();
  ASSERT_TRUE(heard->wait());
  EXPECT_EQ(heard->tokens, calm().tokens) << heard->error.detail;
  EXPECT_EQ(heard->logprob_bits, calm().logprob_bits);
}

}  // namespace
}  // namespace troupe::actors
