// Expert selection follows specification 3.8: groups, ties, unbiased weights.
#include <gtest/gtest.h>

#include <vector>

#include "model/router_model.hpp"

namespace troupe::model {
namespace {

struct Selection {
  std::vector<std::int32_t> experts;
  std::vector<float> weights;
};

Selection select(const GateRule& rule, const std::vector<float>& scores,
                 const std::vector<float>& bias) {
  Selection s{std::vector<std::int32_t>(static_cast<std::size_t>(rule.experts_per_token)),
              std::vector<float>(static_cast<std::size_t>(rule.experts_per_token))};
  select_experts(rule, scores.data(), bias.data(), s.experts.data(), s.weights.data());
  return s;
}

constexpr GateRule kTwoOfFourGroups{.experts = 8,
                                    .groups = 4,
                                    .groups_kept = 2,
                                    .experts_per_token = 3,
                                    .norm_topk_prob = true,
                                    .route_scale = 2.5f};

TEST(SelectExperts, ScoresAGroupByItsTwoBestAndNotByItsBest) {
  // Group 0 has the single best expert, groups 1 and 2 the best pairs.
  const auto s = select(kTwoOfFourGroups, {.9f, .1f, .6f, .6f, .7f, .6f, .1f, .1f},
                        std::vector<float>(8, 0.0f));
  EXPECT_EQ(s.experts, (std::vector<std::int32_t>{2, 3, 4}));
}

TEST(SelectExperts, MasksDroppedGroupsWithMinusInfinity) {
  // All biased scores are negative: a mask of 0 would prefer the dropped groups.
  const auto s = select(kTwoOfFourGroups, {.1f, .1f, .5f, .5f, .2f, .2f, .4f, .4f},
                        std::vector<float>(8, -3.0f));
  EXPECT_EQ(s.experts, (std::vector<std::int32_t>{2, 3, 6}));
}

TEST(SelectExperts, BreaksTiesByLowerIdForGroupsAndExperts) {
  const auto s = select(kTwoOfFourGroups, std::vector<float>(8, 0.5f), std::vector<float>(8, 0.0f));
  EXPECT_EQ(s.experts, (std::vector<std::int32_t>{0, 1, 2}));
  for (const float w : s.weights) EXPECT_FLOAT_EQ(w, 2.5f / 3);
}

TEST(SelectExperts, BiasSteersSelectionAndNeverWeights) {
  GateRule rule{.experts = 3, .experts_per_token = 2};
  const auto s = select(rule, {.9f, .3f, .1f}, {0, 0, 17.0f});
  EXPECT_EQ(s.experts, (std::vector<std::int32_t>{0, 2}));
  EXPECT_FLOAT_EQ(s.weights[0], 0.9f);
  EXPECT_FLOAT_EQ(s.weights[1], 0.1f);
}

TEST(SelectExperts, AppliesTheRouteScaleOnceAndOnlyNormalisesWhenTold) {
  GateRule rule{.experts = 2, .experts_per_token = 2, .norm_topk_prob = false, .route_scale = 2.0f};
  const auto s = select(rule, {.5f, .25f}, {0, 0});
  EXPECT_FLOAT_EQ(s.weights[0], 1.0f);
  EXPECT_FLOAT_EQ(s.weights[1], 0.5f);
}

}  // namespace
}  // namespace troupe::model
