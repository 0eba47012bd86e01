// The mode of each weight format, decided by nothing else, and a cost wherever inputs are
// quantised; that it is the measured one shows tests/e2e/quantising_costs_test.py.
#include "model/activation_choice.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace troupe::model {
namespace {

constexpr ActivationMode kModes[] = {ActivationMode::f32, ActivationMode::bf16,
                                     ActivationMode::fp8_act, ActivationMode::int8_act,
                                     ActivationMode::bf16_tiles};

constexpr std::pair<WeightFormat, ActivationMode> kDefaults[] = {
    {WeightFormat::plain, ActivationMode::bf16},
    {WeightFormat::fp8_blocks, ActivationMode::bf16},
    {WeightFormat::int8_blocks, ActivationMode::int8_act},
    {WeightFormat::int8_channel, ActivationMode::int8_act},
    {WeightFormat::int4_groups, ActivationMode::int8_act},
    {WeightFormat::awq, ActivationMode::bf16},
    {WeightFormat::gptq, ActivationMode::bf16},
};

TEST(ActivationChoice, FollowsFromTheFormat) {
  for (const auto& [weights, mode] : kDefaults) {
    EXPECT_EQ(default_activation_mode(weights), mode) << to_string(weights);
    EXPECT_EQ(*decide_activation_mode("auto", weights), mode) << to_string(weights);
  }
}

TEST(ActivationChoice, AModeThatIsNamedWins) {
  for (const auto& [weights, unused] : kDefaults)
    for (const ActivationMode mode : kModes)
      EXPECT_EQ(*decide_activation_mode(to_string(mode), weights), mode) << to_string(weights);
}

TEST(ActivationChoice, AnUnknownNameIsRefusedWithTheKnownOnes) {
  const auto refused = decide_activation_mode("automatic", WeightFormat::int8_blocks);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_NE(refused.error().detail.find("\"automatic\""), std::string::npos);
  EXPECT_NE(refused.error().detail.find("f32, bf16, fp8-act, int8-act, bf16-tiles"),
            std::string::npos);
}

TEST(ActivationChoice, NeverQuantisesWhereNothingIsGained) {
  for (const auto& [weights, mode] : kDefaults)
    EXPECT_EQ(mode == ActivationMode::bf16, !quantises_inputs(mode, weights)) << to_string(weights);
}

TEST(ActivationCost, IsKnownExactlyWhereInputsAreQuantised) {
  int quantising = 0;
  for (const auto& [weights, unused] : kDefaults)
    for (const ActivationMode mode : kModes) {
      const std::string which =
          std::string(to_string(mode)) + " " + std::string(to_string(weights));
      quantising += quantises_inputs(mode, weights) ? 1 : 0;
      EXPECT_EQ(quantised_inputs_kl(mode, {.format = weights}) > 0, quantises_inputs(mode, weights))
          << which;
    }
  EXPECT_EQ(quantising, 4) << "INT8 in both forms, INT4, FP8";
}

double int4_kl(std::vector<std::string> ignore) {
  return quantised_inputs_kl(ActivationMode::int8_act,
                             {.format = WeightFormat::int4_groups, .ignore = std::move(ignore)});
}

TEST(ActivationCost, OfInt4IsThatOfTheLayersThatAreInt4) {
  const double all = int4_kl({"lm_head", "re:.*kv_b_proj.*"});
  EXPECT_LT(int4_kl({"lm_head", "re:.*self_attn.*", "re:.*shared_experts.*"}), all);
  EXPECT_LT(int4_kl({"model.layers.0.self_attn.o_proj"}), all);
  EXPECT_EQ(int4_kl({}), all);
  EXPECT_EQ(int4_kl({"re:("}), all) << "no expression: the checkpoint is refused elsewhere";
}

}  // namespace
}  // namespace troupe::model
