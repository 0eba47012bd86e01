// The mode of each weight format, decided by nothing else, and a cost wherever inputs are
// quantised.
#include "model/activation_choice.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace troupe::model {
namespace {

constexpr ActivationMode kModes[] = {ActivationMode::f32, ActivationMode::bf16,
                                     ActivationMode::fp8_act, ActivationMode::int8_act};

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
  EXPECT_NE(refused.error().detail.find("f32, bf16, fp8-act, int8-act"), std::string::npos);
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
      EXPECT_EQ(quantised_inputs_kl(mode, weights) > 0, quantises_inputs(mode, weights)) << which;
    }
  EXPECT_EQ(quantising, 4) << "INT8 in both forms, INT4, FP8";
}

TEST(ActivationCost, IsWhatTheDocumentSays) {
  // docs/performance.md, "What quantising costs", to its four digits.
  const auto int8 = ActivationMode::int8_act;
  EXPECT_DOUBLE_EQ(quantised_inputs_kl(int8, WeightFormat::int8_channel), 0.0016);
  EXPECT_DOUBLE_EQ(quantised_inputs_kl(int8, WeightFormat::int8_blocks), 0.0015);
  EXPECT_DOUBLE_EQ(quantised_inputs_kl(int8, WeightFormat::int4_groups), 0.0018);
  EXPECT_DOUBLE_EQ(quantised_inputs_kl(ActivationMode::fp8_act, WeightFormat::fp8_blocks), 0.0034);
}

}  // namespace
}  // namespace troupe::model
