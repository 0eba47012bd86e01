// Dispatch plans carry every (row, expert) pair exactly once, rows once per shard.
#include "model/placement.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "model/expert_model.hpp"

namespace troupe::model {
namespace {

TEST(StaticPlacement, AgreesWithTheRangesOfTheShards) {
  for (const std::int64_t experts : {8, 24, 32, 256})
    for (const std::int64_t shards : {1, 2, 3, 5, 8}) {
      const auto placement = static_placement(2, experts, shards);
      std::int64_t covered = 0;
      for (std::int64_t shard = 0; shard < shards; ++shard) {
        const auto range = ExpertModel::range_of(shard, shards, experts);
        covered += range.last - range.first;
        for (std::int64_t e = range.first; e < range.last; ++e) {
          ASSERT_EQ(placement.of(1, e).size(), 1u);
          EXPECT_EQ(placement.of(1, e)[0], shard) << experts << " experts, " << shards;
        }
      }
      EXPECT_EQ(covered, experts);
    }
}

Routing random_routing(std::int64_t rows, std::int64_t k, std::int32_t experts, unsigned seed) {
  std::mt19937 random(seed);
  Routing routing;
  for (std::int64_t row = 0; row < rows; ++row) {
    std::set<std::int32_t> chosen;
    while (static_cast<std::int64_t>(chosen.size()) < k)
      chosen.insert(static_cast<std::int32_t>(random() % static_cast<unsigned>(experts)));
    routing.experts.insert(routing.experts.end(), chosen.begin(), chosen.end());
  }
  routing.weights.resize(routing.experts.size(), 1.0f);
  return routing;
}

TEST(PlanDispatch, SendsEveryPairOnceAndEveryRowOncePerDispatch) {
  constexpr std::int64_t kK = 4;
  const auto routing = random_routing(300, kK, 16, 7);
  const auto placement = static_placement(3, 16, 3);
  const std::vector<std::int64_t> idle(3, 0);
  std::set<std::int32_t> slots;
  for (const auto& dispatch : plan_dispatch(routing, kK, placement, 2, idle, 100)) {
    EXPECT_LE(dispatch.rows.size(), 100u);
    EXPECT_TRUE(std::is_sorted(dispatch.rows.begin(), dispatch.rows.end()));
    EXPECT_EQ(std::set(dispatch.rows.begin(), dispatch.rows.end()).size(), dispatch.rows.size());
    for (const auto& pair : dispatch.pairs) {
      EXPECT_TRUE(slots.insert(pair.slot).second);
      EXPECT_EQ(pair.slot / kK, dispatch.rows[static_cast<std::size_t>(pair.row)]);
      EXPECT_EQ(routing.experts[static_cast<std::size_t>(pair.slot)], pair.expert);
      EXPECT_EQ(placement.of(2, pair.expert)[0], dispatch.shard);
    }
    for (std::size_t i = 1; i < dispatch.pairs.size(); ++i)
      EXPECT_LE(dispatch.pairs[i - 1].expert, dispatch.pairs[i].expert);
  }
  EXPECT_EQ(slots.size(), routing.experts.size());
}

TEST(PlanDispatch, PrefersTheReplicaWithFewestOutstandingRowsThenTheLowerId) {
  Placement placement = static_placement(1, 2, 1);
  placement.replicas = {{0, 1, 2}, {1, 2}};
  const Routing routing{{0, 1}, {1, 1}};
  const std::vector<std::int64_t> outstanding{5, 3, 3};
  const auto plan = plan_dispatch(routing, 2, placement, 0, outstanding, 256);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_EQ(plan[0].shard, 1);
}

TEST(PlanDispatch, NamesUncoveredExpertsWithShardMinusOne) {
  Placement placement = static_placement(1, 2, 1);
  placement.replicas = {{0}, {}};
  const std::vector<std::int64_t> outstanding{0};
  const auto plan = plan_dispatch({{0, 1}, {1, 1}}, 2, placement, 0, outstanding, 256);
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(plan[0].shard, -1);
  EXPECT_EQ(plan[0].pairs.at(0).expert, 1);
}

}  // namespace
}  // namespace troupe::model
