// Whole clusters inside one process: text comes out, errors are said, peers may be lost.
#include "actors/local_cluster.hpp"

#include <gtest/gtest.h>

#include "tests/support/actor_listener.hpp"

namespace troupe::actors {
namespace {

using testing::Recorder;

const model::Checkpoint& mini() {
  static const auto checkpoint =
      model::Checkpoint::open(std::string(TROUPE_SOURCE_DIR) + "/tests/goldens/v3-mini/model");
  EXPECT_TRUE(checkpoint) << (checkpoint ? "" : checkpoint.error().detail);
  return *checkpoint;
}

GenerateRequest greedy(std::vector<std::int32_t> prompt, std::int32_t max_tokens) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  request.sampling.ignore_eos = true;
  return request;
}

std::unique_ptr<LocalCluster> start(const ClusterSettings& settings, ClusterHooks hooks = {}) {
  auto cluster = LocalCluster::start(mini(), settings, std::move(hooks));
  EXPECT_TRUE(cluster) << (cluster ? "" : cluster.error().detail);
  return cluster ? std::move(*cluster) : nullptr;
}

TEST(LocalCluster, GeneratesGreedyTokens) {
  ClusterSettings settings;
  settings.threads = 2;
  auto cluster = start(settings);
  auto heard = std::make_shared<Recorder>();
  ASSERT_TRUE(cluster->submit(greedy({1, 2, 3, 4, 5}, 8), heard));
  ASSERT_TRUE(heard->wait());
  EXPECT_EQ(heard->reason, FinishReason::length) << heard->error.detail;
  EXPECT_EQ(heard->tokens.size(), 8u);
  EXPECT_EQ(heard->positions.front(), 5);
  EXPECT_EQ(heard->positions.back(), 12);
  EXPECT_EQ(heard->usage.attempts, 1);
}

}  // namespace
}  // namespace troupe::actors
