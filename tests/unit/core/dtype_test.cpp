// The number formats convert exactly and round to nearest, ties to even.
#include "core/dtype.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe {
namespace {

TEST(E4m3, EveryFiniteCodeSurvivesARoundTrip) {
  int finite = 0;
  for (int code = 0; code < 256; ++code) {
    const auto byte = static_cast<std::uint8_t>(code);
    if (is_e4m3_nan(byte)) {
      EXPECT_TRUE(std::isnan(e4m3_to_f32(byte)));
      continue;
    }
    ++finite;
    EXPECT_EQ(f32_to_e4m3(e4m3_to_f32(byte)), byte);
  }
  EXPECT_EQ(finite, 254);
}

TEST(E4m3, RoundsTiesToEvenAndSaturates) {
  for (int code = 0; code < 0x7e; ++code) {
    const float low = e4m3_to_f32(static_cast<std::uint8_t>(code));
    const float high = e4m3_to_f32(static_cast<std::uint8_t>(code + 1));
    const float middle = (low + high) / 2;  // exact: both have few bits
    const int even = (code & 1) != 0 ? code + 1 : code;
    EXPECT_EQ(f32_to_e4m3(middle), even) << code;
    EXPECT_EQ(f32_to_e4m3(std::nextafter(middle, low)), code);
    EXPECT_EQ(f32_to_e4m3(std::nextafter(middle, high)), code + 1);
    EXPECT_EQ(f32_to_e4m3(-middle), even | 0x80);
  }
  EXPECT_EQ(f32_to_e4m3(1e9f), 0x7e);
  EXPECT_EQ(f32_to_e4m3(-INFINITY), 0xfe);
  EXPECT_TRUE(is_e4m3_nan(f32_to_e4m3(NAN)));
}

TEST(Bf16, RoundsTiesToEven) {
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(NAN))));
  EXPECT_EQ(bf16_to_f32(f32_to_bf16(INFINITY)), INFINITY);
}

TEST(F16, ConvertsNormalsSubnormalsAndInfinity) {
  EXPECT_EQ(f16_to_f32(0x3c00), 1.0f);
  EXPECT_EQ(f16_to_f32(0x0001), 0x1p-24f);
  EXPECT_EQ(f16_to_f32(0xfbff), -65504.0f);
  EXPECT_EQ(f16_to_f32(0x7c00), INFINITY);
}

TEST(DTypeNames, ParseBackToTheSameType) {
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i) {
    const auto dtype = static_cast<DType>(i);
    ASSERT_TRUE(parse_dtype(to_string(dtype)));
    EXPECT_EQ(*parse_dtype(to_string(dtype)), dtype);
  }
  EXPECT_EQ(parse_dtype("F4_E2M1").error().code, Errc::unsupported);
}

}  // namespace
}  // namespace troupe
