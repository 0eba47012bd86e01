// Frequencies and softmax scales equal the check values of specification 3.5 and 3.6.
#include "model/rope.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::model {
namespace {

ModelConfig v3() {
  ModelConfig c;
  c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.rope_theta = 10000;
  c.yarn = Yarn{40, 4096, 32, 1, 1, 1};
  return c;
}

TEST(RopeTable, HasTheFrequenciesOfDeepSeekV3) {
  const RopeTable table(v3());
  const auto& f = table.frequencies();
  ASSERT_EQ(f.size(), 32u);
  const std::pair<int, double> expected[] = {{0, 1},
                                             {1, 7.498942093e-1},
                                             {10, 5.623413252e-2},
                                             {11, 3.900692657e-2},
                                             {12, 2.687936011e-2},
                                             {16, 5.5e-3},
                                             {20, 7.905694150e-4},
                                             {22, 1.778279410e-4},
                                             {23, 3.333803580e-5},
                                             {31, 3.333803580e-6}};
  for (const auto& [i, value] : expected)
    EXPECT_NEAR(f[static_cast<std::size_t>(i)] / value, 1, 2e-7) << i;
  EXPECT_EQ(table.amplitude(), 1.0);
}

TEST(RopeTable, RotatesByTheF32AngleToTheLastBit) {
  const RopeTable table(v3());
  float cos[32];
  float sin[32];
  for (const std::int64_t position : {0, 1, 63, 4097, 163839}) {
    table.rotation(position, cos, sin);
    for (std::size_t i = 0; i < 32; ++i) {
      const float angle = static_cast<float>(position) * table.frequencies()[i];
      EXPECT_NEAR(cos[i], std::cos(static_cast<double>(angle)), 6e-8) << position << " " << i;
      EXPECT_NEAR(sin[i], std::sin(static_cast<double>(angle)), 6e-8) << position << " " << i;
    }
  }
}

TEST(RopeTable, KeepsYarnsAmplitudeWhenTheDenominatorIsAbsent) {
  ModelConfig c = v3();
  c.yarn->mscale_all_dim = 0;
  EXPECT_NEAR(RopeTable(c).amplitude(), 1.3688879454, 1e-9);
}

TEST(SoftmaxScale, EqualsTheSpecificationsValues) {
  EXPECT_NEAR(softmax_scale(v3()), 0.1352337789, 1e-8);
  ModelConfig kimi = v3();
  kimi.yarn->factor = 32;
  EXPECT_NEAR(softmax_scale(kimi), 0.1308607970, 1e-8);
  ModelConfig moonlight = v3();
  moonlight.yarn.reset();
  EXPECT_NEAR(softmax_scale(moonlight), 0.0721687836, 1e-8);
  ModelConfig uncorrected = v3();
  uncorrected.yarn->mscale_all_dim = 0;
  EXPECT_NEAR(softmax_scale(uncorrected), 0.0721687836, 1e-8);
}

}  // namespace
}  // namespace troupe::model
