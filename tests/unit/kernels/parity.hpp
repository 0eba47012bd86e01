// A fixture that holds every level of this machine against the scalar reference, bit for bit.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/levels.hpp"
#include "kernels/registry.hpp"
#include "tests/unit/kernels/call_numbers.hpp"

namespace troupe::kernels {

inline std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> out(values.size());
  std::memcpy(out.data(), values.data(), values.size() * sizeof(float));
  return out;
}

/// The level under test, or a variant of its linear; skips the test when the machine lacks it.
class Parity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string name = GetParam();
    LinearFn linear = nullptr;
    for (const cpu::LinearVariant& variant : cpu::linear_variants()) {
      if (variant.name != GetParam()) continue;
      name = variant.level;
      linear = variant.linear;
    }
    auto level = select_level(name);
    if (!level) GTEST_SKIP() << "untested here: " << level.error().detail;
    table_ = **level;
    if (linear != nullptr) table_.linear = linear;
    reference_ = *select_level("reference");
  }
  static void expect_same(const std::vector<float>& want, const std::vector<float>& got,
                          const std::string& what) {
    const auto w = bits(want);
    const auto g = bits(got);
    for (std::size_t i = 0; i < w.size(); ++i)
      ASSERT_EQ(w[i], g[i]) << what << " element " << i << " want " << want[i] << " got " << got[i]
                            << " seed " << kSeed;
  }
  /// Of the features from `first` on, every second time in two shares of a numbered call; `args.y`
  /// is set here.
  void expect_reference_bits(LinearArgs args, const std::string& what, std::int64_t first = 0) {
    const auto count = static_cast<std::size_t>(args.tokens * args.w.rows);
    std::vector<float> want(count, -1);
    std::vector<float> got(count, -2);
    args.y_stride = args.w.rows;
    args.y = want.data();
    reference_->linear(args, first, args.w.rows);
    args.y = got.data();
    const std::int64_t half = ++checks_ % 2 == 0 ? std::max(args.w.rows / 2, first) : first;
    if (half > first) args.call = next_call_number();
    level_->linear(args, first, half);
    level_->linear(args, half, args.w.rows);
    // What belongs to nobody stays as it was.
    for (std::int64_t t = 0; t < args.tokens; ++t)
      for (std::int64_t f = 0; f < first; ++f) {
        float& untouched = got[static_cast<std::size_t>(t * args.w.rows + f)];
        ASSERT_EQ(untouched, -2) << what << " feature " << f << " seed " << kSeed;
        untouched = -1;
      }
    expect_same(want, got, what);
  }
  static constexpr unsigned kSeed = 20241226;
  std::mt19937 random_{kSeed};
  int checks_ = 0;
  KernelTable table_;
  const KernelTable* level_ = &table_;
  const KernelTable* reference_ = nullptr;
};

/// Parameters for it: the vector levels, then variants of their linear.
inline const auto kVectorLevels =
    testing::Values("avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "avx512_amx",
                    "avx2_by_f16", "avx2_by_bits", "avx512_bf16_by_words");

}  // namespace troupe::kernels
