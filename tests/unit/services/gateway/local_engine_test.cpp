// The engine of `troupe serve` before and after its model is loaded.
#include "services/gateway/local_engine.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/actor_listener.hpp"
#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services {
namespace {

std::unique_ptr<actors::LocalCluster> loaded() {
  auto cluster = actors::LocalCluster::start(tiny_model().checkpoint, {});
  EXPECT_TRUE(cluster) << (cluster ? "" : cluster.error().detail);
  return *std::move(cluster);
}

TEST(LocalEngine, SaysThatItLoadsUntilItsClusterIsThere) {
  auto cluster = loaded();
  LocalEngine engine(cluster->numerics_id(), {}, 32);
  engine.set_version("1.2");
  EXPECT_EQ(engine.readiness().state, actors::Readiness::State::starting);
  EXPECT_EQ(engine.readiness().detail, "loading the model");
  auto heard = std::make_shared<actors::testing::Recorder>();
  const auto refused = engine.submit(actors::testing::greedy({1, 2, 3}, 4), heard);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  engine.cancel(1);  // nobody's
  const auto report = engine.report();
  EXPECT_FALSE(report.serving);
  ASSERT_EQ(report.members.size(), 4u);
  for (const auto& member : report.members) {
    EXPECT_EQ(member.entry.state, actors::MemberState::loading);
    EXPECT_EQ(member.version, "1.2");
  }
  EXPECT_TRUE(engine.loads().empty());

  engine.begin(std::move(cluster));
  EXPECT_TRUE(engine.readiness().ready());
  EXPECT_TRUE(engine.report().serving);
  ASSERT_TRUE(engine.submit(actors::testing::greedy({1, 2, 3}, 4), heard));
  ASSERT_TRUE(heard->wait());
  EXPECT_EQ(heard->tokens.size(), 4u);
  const auto loads = engine.loads();
  ASSERT_EQ(loads.size(), 1u);
  EXPECT_EQ(loads[0].experts.last, 32);
  const std::int64_t rows = 3 + 3;  // of the prompt, and of all tokens but the last
  const std::int64_t sampled = 4;   // the last layer goes on with these alone
  EXPECT_EQ(std::accumulate(loads[0].pairs.begin(), loads[0].pairs.end(), std::int64_t{0}),
            (rows * 3 + sampled) * 4);  // other MoE layers, experts of a token
  EXPECT_GT(engine.epoch(), 0u);        // nothing is dispatched before it is published
}

}  // namespace
}  // namespace troupe::services
