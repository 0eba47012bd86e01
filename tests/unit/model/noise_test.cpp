// The bits of the sampler's noise, so that nobody changes them unawares.
#include <gtest/gtest.h>

#include "model/sampler.hpp"

namespace troupe::model {
namespace {

// Made by another program from SplitMix64's definition. Who has to change a number here gives every
// seeded request another answer: that needs a new numerics id (kernels::kKernelNumericsVersion).

TEST(Noise, OfASeedAPositionAndATokenIsPinned) {
  struct {
    std::uint64_t seed;
    std::int64_t position;
    std::int32_t token;
    double noise;
  } const pinned[]{
      {0, 0, 0, 0x1.1c13ade1c7e5ep-3},
      {42, 0, 0, 0x1.8c42fc136081fp-2},
      {42, 1, 0, 0x1.277d084176ab8p-1},
      {42, 0, 1, 0x1.6d05dc4b9c482p-1},
      {42, 7, 3, 0x1.eabc84a9a8caap-1},
      {77, 4095, 128814, 0x1.6152a0394e3b1p-2},
      {UINT64_MAX, 163839, 129279, 0x1.ba749892dceaap-1},
      {std::uint64_t{1} << 63, 5, 9, 0x1.aafa7ee0c7016p-1},
  };
  for (const auto& [seed, position, token, noise] : pinned)
    EXPECT_EQ(uniform_noise(seed, position, token), noise)
        << "seed " << seed << ", position " << position << ", token " << token;
}

TEST(Noise, SeedsOfChoicesArePinned) {
  EXPECT_EQ(seed_of_choice(42, 0), 42u);
  EXPECT_EQ(seed_of_choice(42, 1), 0xf34fe9248c9342e5u);
  EXPECT_EQ(seed_of_choice(42, 3), 0xfa4f945599f9054au);
  EXPECT_EQ(seed_of_choice(0, 1), 0x08b4fda8c892b50eu);
  EXPECT_EQ(seed_of_choice(77, 2), 0x00abf126f6a41f74u);
  EXPECT_EQ(seed_of_choice(UINT64_MAX, 127), 0x8d9ebceeb6c16f5au);
}

}  // namespace
}  // namespace troupe::model
