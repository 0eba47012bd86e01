// linear where its pieces meet: blocks of scales, panels of columns, slices of them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/ops/linear.hpp"
#include "tests/unit/kernels/parity.hpp"
#include "tests/unit/kernels/stored_weight.hpp"

namespace troupe::kernels {
namespace {

class LinearBorders : public Parity {};

/// Tiles of two, three and four features would cross from one block to the next at feature 128 if
/// they began where they liked. Ordinary x: what is tiny keeps e4m3 from the streaming path.
TEST_P(LinearBorders, TilesOfFeaturesEndWithTheirBlockOfScales) {
  for (const WeightFormat& format : {kE4m3, kInt8Blocks})
    for (const std::int64_t tokens : {1, 2, 3, 4, 5, 7, 8, 9, 12, 15}) {
      constexpr std::int64_t kCols = 300;
      const StoredWeight w = random_weight(random_, format, 140, kCols, normal_floats);
      const std::vector<float> x = normal_floats(random_, tokens * kCols);
      for (const std::int64_t first : {0, 1, 2, 3})
        expect_reference_bits({.x = x.data(), .x_stride = kCols, .w = w.view, .tokens = tokens},
                              std::string(format.name) + " tokens " + std::to_string(tokens) +
                                  " from feature " + std::to_string(first),
                              first);
    }
}

/// A panel holds 8192 columns of these formats; a slice is one lane, a sixteenth, of 2048.
TEST_P(LinearBorders, PanelsOfColumnsAddUp) {
  for (const WeightFormat& format : {kE4m3, kBf16})
    for (const std::int64_t cols : {2049, 4128, 8191, 8193, 8320, 16416})
      for (const bool quantised : {false, true}) {
        if (quantised && format.dtype != DType::f8_e4m3) continue;
        constexpr std::int64_t kTokens = 17;
        const StoredWeight w = random_weight(random_, format, 40, cols, normal_floats);
        const std::vector<float> x = normal_floats(random_, kTokens * cols);
        const std::vector<float> x_scales = normal_floats(random_, kTokens * scale_blocks(cols));
        expect_reference_bits({.x = x.data(),
                               .x_stride = cols,
                               .x_scales = quantised ? x_scales.data() : nullptr,
                               .w = w.view,
                               .tokens = kTokens},
                              std::string(format.name) + " cols " + std::to_string(cols));
      }
}

INSTANTIATE_TEST_SUITE_P(Levels, LinearBorders, kVectorLevels,
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace troupe::kernels
