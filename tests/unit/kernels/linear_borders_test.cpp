// linear where its pieces meet: blocks of scales, panels of columns, slices of them.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/levels.hpp"
#include "kernels/ops/linear.hpp"
#include "kernels/registry.hpp"
#include "tests/unit/kernels/stored_weight.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20261130;

struct NamedLinear {
  std::string name;
  LinearFn linear;
};

/// All that this machine has beside the reference.
std::vector<NamedLinear> vector_linears() {
  std::vector<NamedLinear> all;
  for (const KernelTable* level : available_levels()) {
    if (level->name == std::string_view("reference")) continue;
    all.push_back({std::string(level->name), level->linear});
    for (const cpu::LinearVariant& variant : cpu::linear_variants())
      if (variant.level == level->name) all.push_back({std::string(variant.name), variant.linear});
  }
  return all;
}

/// Features [begin, rows) of a weight.
std::vector<float> result_of(LinearFn linear, LinearArgs args, std::int64_t begin) {
  std::vector<float> y(static_cast<std::size_t>(args.tokens * args.w.rows));
  args.y = y.data();
  args.y_stride = args.w.rows;
  linear(args, begin, args.w.rows);
  return y;
}

void expect_reference_bits(const LinearArgs& args, std::int64_t begin, const std::string& what) {
  static const std::vector<NamedLinear> linears = vector_linears();
  const std::vector<float> want = result_of((*select_level("reference"))->linear, args, begin);
  for (const NamedLinear& level : linears)
    EXPECT_EQ(result_of(level.linear, args, begin), want)
        << level.name << " " << what << " from feature " << begin << " seed " << kSeed;
}

/// Tiles of two, three and four features would cross from one block to the next at feature 128 if
/// they began where they liked. Ordinary x: what is tiny keeps e4m3 from the streaming path.
TEST(LinearBorders, TilesOfFeaturesEndWithTheirBlockOfScales) {
  std::mt19937 random(kSeed);
  for (const WeightFormat& format : {kE4m3, kInt8Blocks})
    for (const std::int64_t tokens : {1, 2, 3, 4, 5, 7, 8, 9, 12, 15}) {
      constexpr std::int64_t kCols = 300;
      const StoredWeight w = random_weight(random, format, 140, kCols, normal_floats);
      const std::vector<float> x = normal_floats(random, tokens * kCols);
      for (const std::int64_t begin : {0, 1, 2, 3})
        expect_reference_bits({.x = x.data(), .x_stride = kCols, .w = w.view, .tokens = tokens},
                              begin,
                              std::string(format.name) + " tokens " + std::to_string(tokens));
    }
}

/// A panel holds 8192 columns of these formats, and a slice 2048 of each sixteenth.
TEST(LinearBorders, PanelsOfColumnsAddUp) {
  std::mt19937 random(kSeed);
  for (const WeightFormat& format : {kE4m3, kBf16})
    for (const std::int64_t cols : {2049, 4128, 8191, 8193, 8320, 16416}) {
      constexpr std::int64_t kTokens = 17;
      const StoredWeight w = random_weight(random, format, 40, cols, normal_floats);
      std::vector<float> x = normal_floats(random, kTokens * cols);
      const std::vector<float> x_scales = normal_floats(random, kTokens * scale_blocks(cols));
      for (const bool scaled : {false, true}) {
        if (scaled && format.dtype != DType::f8_e4m3) continue;
        expect_reference_bits({.x = x.data(),
                               .x_stride = cols,
                               .x_scales = scaled ? x_scales.data() : nullptr,
                               .w = w.view,
                               .tokens = kTokens},
                              0, std::string(format.name) + " cols " + std::to_string(cols));
      }
    }
}

}  // namespace
}  // namespace troupe::kernels
