// The scan for NaN finds one bad element wherever it is, and nothing in good weights.
#include "model/checkpoint/weight_codes.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace troupe::model {
namespace {

kernels::WeightMatrix matrix_of(const std::vector<std::uint8_t>& bytes, DType dtype,
                                std::int64_t rows, std::int64_t cols, std::size_t offset = 0) {
  return {.data = reinterpret_cast<const std::byte*>(bytes.data()) + offset,
          .dtype = dtype,
          .rows = rows,
          .cols = cols};
}

TEST(WeightCodes, AllFiniteE4m3CodesPassAndBothNaNsAreFoundAtEveryPlace) {
  std::vector<std::uint8_t> bytes(3 * 85 + 7);
  for (std::size_t offset = 0; offset < 8; ++offset) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = is_e4m3_nan(static_cast<std::uint8_t>(i)) ? 0 : static_cast<std::uint8_t>(i);
    const auto matrix = matrix_of(bytes, DType::f8_e4m3, 3, 85, offset);
    EXPECT_TRUE(check_codes("w", matrix));
    for (std::size_t i = 0; i < 3 * 85; ++i) {
      const std::uint8_t kept = bytes[offset + i];
      bytes[offset + i] = i % 2 == 0 ? 0x7f : 0xff;
      const auto checked = check_codes("some.weight", matrix);
      ASSERT_FALSE(checked);
      EXPECT_EQ(checked.error().code, Errc::malformed);
      EXPECT_NE(checked.error().detail.find("some.weight holds the NaN code at row " +
                                            std::to_string(i / 85) + ", column " +
                                            std::to_string(i % 85)),
                std::string::npos)
          << checked.error().detail;
      bytes[offset + i] = kept;
    }
  }
}

TEST(WeightCodes, FindsTheFirstOfALargeTensor) {
  std::vector<std::uint8_t> bytes(700 * 300, 0x38);
  bytes[650 * 300 + 299] = 0xff;
  bytes[699 * 300] = 0x7f;
  const auto checked = check_codes("w", matrix_of(bytes, DType::f8_e4m3, 700, 300));
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().detail.find("row 650, column 299"), std::string::npos);
}

template <class T>
void expect_found(T bad, T good, DType dtype) {
  std::vector<T> values(5 * 7, good);
  for (std::size_t i = 0; i <= values.size(); ++i) {
    if (i < values.size()) values[i] = bad;
    const kernels::WeightMatrix matrix{.data = reinterpret_cast<const std::byte*>(values.data()),
                                       .dtype = dtype,
                                       .rows = 5,
                                       .cols = 7};
    EXPECT_EQ(check_codes("w", matrix).has_value(), i == values.size()) << i;
    if (i < values.size()) values[i] = good;
  }
}

TEST(WeightCodes, FindsNaNAndInfinityInBf16AndF32) {
  for (const float bad : {INFINITY, -INFINITY, std::nanf("")}) {
    expect_found<Bf16>(f32_to_bf16(bad), f32_to_bf16(-3.3e38f), DType::bf16);
    expect_found<float>(bad, -3.4e38f, DType::f32);
  }
}

TEST(WeightCodes, RefusesOtherDtypes) {
  const std::vector<std::uint8_t> bytes(2);
  EXPECT_EQ(check_codes("w", matrix_of(bytes, DType::f16, 1, 1)).error().code, Errc::unsupported);
}

TEST(WeightCodes, OfAPartOnlyItsRowsAreLookedAtAndNamed) {
  std::vector<std::uint8_t> bytes(700 * 300, 0x38);
  bytes[500 * 300 + 7] = 0x7f;
  const auto matrix = matrix_of(bytes, DType::f8_e4m3, 700, 300);
  EXPECT_TRUE(check_codes("w", matrix, {0, 500}));
  EXPECT_TRUE(check_codes("w", matrix, {501, 700}));
  const auto checked = check_codes("w", matrix, {400, 501});
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().detail.find("row 500, column 7"), std::string::npos)
      << checked.error().detail;
}

}  // namespace
}  // namespace troupe::model
