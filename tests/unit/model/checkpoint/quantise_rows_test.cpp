// Codes times scales are the nearest that the format has, and packed where other programs look.
#include "model/checkpoint/quantise_rows.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace troupe::model {
namespace {

constexpr unsigned kSeed = 20250101;

std::vector<float> random_values(std::size_t n) {
  std::mt19937 random(kSeed);
  std::vector<float> values(n);
  for (float& v : values) v = (static_cast<float>(random()) * 0x1p-31f - 1.0f) * 3.0f;
  return values;
}

TEST(QuantiseRows, Int8BlocksAreWithinHalfAScale) {
  constexpr std::int64_t kCols = 300;
  const std::vector<float> values = random_values(5 * kCols);
  std::vector<std::int8_t> codes(values.size());
  std::vector<float> scales(3);
  ASSERT_TRUE(quantise_int8_blocks({values, 5, kCols}, codes, scales));
  for (std::size_t b = 0; b < 3; ++b) {
    float amax = 0;
    int largest = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i % kCols / 128 != b) continue;
      amax = std::max(amax, std::fabs(values[i]));
      largest = std::max(largest, std::abs(codes[i]));
      EXPECT_LE(std::fabs(values[i] - static_cast<float>(codes[i]) * scales[b]),
                0.5f * scales[b] * (1 + 1e-5f))
          << i;
    }
    EXPECT_EQ(scales[b], amax / 127);
    EXPECT_EQ(largest, 127);
  }
}

TEST(QuantiseRows, Int8RowsHaveTheirOwnScales) {
  const std::vector<float> values{1.5f, -127, 0.5f, 254, 127, 1};
  std::vector<std::int8_t> codes(6);
  std::vector<float> scales(2);
  ASSERT_TRUE(quantise_int8_rows({values, 2, 3}, codes, scales));
  EXPECT_EQ(scales, (std::vector<float>{1, 2}));
  EXPECT_EQ(codes, (std::vector<std::int8_t>{2, -127, 0, 127, 64, 0})) << "ties go to even codes";
}

TEST(QuantiseRows, Int4IsWithinHalfAScaleAndPackedFromTheLowestBits) {
  const std::vector<float> values = random_values(77);
  std::vector<std::uint32_t> words(10);
  std::vector<Bf16> scales(3);
  ASSERT_TRUE(quantise_int4_row(values, words, scales));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float scale = bf16_to_f32(scales[i / 32]);
    const int code = static_cast<int>(words[i / 8] >> (4 * (i % 8)) & 15) - 8;
    // 7.5 scales is the largest value, and 7 the largest positive code; BF16 moves it by 2^-9.
    EXPECT_LE(std::fabs(values[i] - static_cast<float>(code) * scale), scale * (0.5f + 7.5f / 256))
        << i;
  }
  EXPECT_EQ(words[9] >> 20, 0u) << "0 behind the last column";
}

TEST(QuantiseRows, Int4OfWholeMultiplesIsExact) {
  std::vector<float> values;
  for (int i = 0; i < 32; ++i) values.push_back(0.25f * static_cast<float>(i % 15 - 7));
  values[3] = -0.25f * 7.5f;  // makes the scale 0.25
  std::vector<std::uint32_t> words(4);
  std::vector<Bf16> scales(1);
  ASSERT_TRUE(quantise_int4_row(values, words, scales));
  EXPECT_EQ(bf16_to_f32(scales[0]), 0.25f);
  for (std::size_t i = 0; i < 32; ++i) {
    const int code = static_cast<int>(words[i / 8] >> (4 * (i % 8)) & 15) - 8;
    EXPECT_EQ(code, i == 3 ? -8 : static_cast<int>(i % 15) - 7) << i;
  }
}

TEST(QuantiseRows, ZerosAndTheSmallestValuesHaveScalesToo) {
  for (const float value : {0.0f, -0.0f, 1e-45f, -1e-40f}) {
    const std::vector<float> values(40, value);
    std::vector<std::int8_t> codes(40, 99);
    std::vector<float> scales(1);
    ASSERT_TRUE(quantise_int8_blocks({values, 1, 40}, codes, scales));
    EXPECT_GT(scales[0], 0);
    EXPECT_EQ(codes, std::vector<std::int8_t>(40, 0));
    std::vector<std::uint32_t> words(5);
    std::vector<Bf16> groups(2);
    ASSERT_TRUE(quantise_int4_row(values, words, groups));
    EXPECT_EQ(words, std::vector<std::uint32_t>(5, 0x88888888u));
    EXPECT_GT(bf16_to_f32(groups[1]), 0);
  }
}

TEST(QuantiseRows, RefuseWhatIsNoNumberOrTooLarge) {
  std::vector<std::int8_t> codes(40);
  std::vector<float> scales(1);
  std::vector<std::uint32_t> words(5);
  std::vector<Bf16> groups(2);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), -std::nanf("")})
    for (const std::size_t at : {0u, 17u, 39u}) {
      std::vector<float> values = random_values(40);
      values[at] = bad;
      EXPECT_FALSE(quantise_int8_blocks({values, 1, 40}, codes, scales));
      EXPECT_FALSE(quantise_int8_rows({values, 1, 40}, codes, scales));
      EXPECT_FALSE(quantise_int4_row(values, words, groups));
    }
  for (const std::size_t at : {0u, 39u, 40u, 79u}) {
    std::vector<float> two_rows = random_values(80);
    two_rows[at] = std::nanf("");
    std::vector<std::int8_t> all(80);
    EXPECT_FALSE(quantise_int8_blocks({two_rows, 2, 40}, all, scales)) << "NaN at " << at;
  }
  std::vector<float> values(40, 0x1p70f);
  EXPECT_TRUE(quantise_int8_blocks({values, 1, 40}, codes, scales));
  EXPECT_FALSE(quantise_int4_row(values, words, groups));
}

}  // namespace
}  // namespace troupe::model
