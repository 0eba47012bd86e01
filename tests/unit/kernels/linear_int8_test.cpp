// Rows of INT8 codes: whole products exact, every level the reference's bits, no stray reads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "kernels/registry.hpp"
#include "tests/unit/kernels/call_numbers.hpp"
#include "tests/unit/kernels/guarded_memory.hpp"
#include "tests/unit/kernels/stored_weight.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20241226;
constexpr std::array kInt8Formats{kInt8Blocks, kInt8Rows, kInt4};

/// Rows of codes of every value that a quantised row can have, with their scales.
struct CodedRows {
  CodedRows(std::mt19937& random, std::int64_t tokens, std::int64_t cols)
      : width(cols), codes(static_cast<std::size_t>(tokens * padded_codes(cols))) {
    for (std::int64_t t = 0; t < tokens; ++t)
      for (std::int64_t k = 0; k < cols; ++k)
        codes[static_cast<std::size_t>(t * padded_codes(cols) + k)] =
            static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
    scales = normal_floats(random, tokens * scale_blocks(cols));
  }
  std::int64_t width;
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
};

std::vector<float> run(const KernelTable& level, const WeightMatrix& w, const CodedRows& x,
                       std::int64_t first, std::int64_t tokens) {
  std::vector<float> y(static_cast<std::size_t>(tokens * w.rows), -7.0f);
  level.linear_int8({.x_codes = x.codes.data() + first * padded_codes(x.width),
                     .x_scales = x.scales.data() + first * scale_blocks(x.width),
                     .w = w,
                     .y = y.data(),
                     .y_stride = w.rows,
                     .tokens = tokens},
                    0, w.rows);
  return y;
}

bool same_bits(const float* a, const float* b, std::size_t n) {
  return std::memcmp(a, b, n * sizeof(float)) == 0;
}

const KernelTable& reference() { return *select_level("reference").value(); }

/// A copy of numbers between guard pages.
template <class T>
struct Guarded {
  Guarded(const std::vector<T>& from, GuardedMemory::Edge edge)
      : memory(from.size() * sizeof(T), edge) {
    memory.fill(std::as_bytes(std::span(from)));
  }
  T* data() const { return reinterpret_cast<T*>(memory.data()); }
  GuardedMemory memory;
};

TEST(LinearInt8, IsRightWithinTheRoundingOfItsSums) {
  std::mt19937 random(kSeed);
  for (const WeightFormat& format : kInt8Formats)
    for (const std::int64_t cols : {1, 31, 129, 576, 2100}) {
      const StoredWeight w = random_weight(random, format, 140, cols, normal_floats);
      const CodedRows x(random, 3, cols);
      for (const KernelTable* level : available_levels()) {
        const std::vector<float> y = run(*level, w.view, x, 0, 3);
        for (std::int64_t t = 0; t < 3; ++t)
          for (std::int64_t r = 0; r < 140; ++r) {
            double want = 0;
            double magnitude = 0;
            for (std::int64_t k = 0; k < cols; ++k) {
              const double code = x.codes[static_cast<std::size_t>(t * padded_codes(cols) + k)];
              const double scale = static_cast<double>(
                  x.scales[static_cast<std::size_t>(t * scale_blocks(cols) + k / kScaleBlock)]);
              const double term = w.value(r, k) * code * scale;
              want += term;
              magnitude += std::fabs(term);
            }
            // Products are whole. Of a block its factor is rounded, or its four groups, then the
            // sum at each block from there on; at the end that by the channel's scale.
            const double steps = static_cast<double>(scale_blocks(cols)) + 5;
            EXPECT_NEAR(y[static_cast<std::size_t>(t * 140 + r)], want,
                        steps * 0x1p-24 * magnitude + 1e-30)
                << level->name << " " << format.name << " row " << r << " cols " << cols;
          }
      }
    }
}

TEST(LinearInt8, HasTheReferencesBitsOnRandomShapesBetweenGuardPages) {
  std::mt19937 random(kSeed);
  for (int i = 0; i < 240; ++i) {
    const WeightFormat& format = kInt8Formats[static_cast<std::size_t>(i) % kInt8Formats.size()];
    const bool wide = i >= 200;
    const std::int64_t rows = 1 + random() % (wide ? 40 : 300);
    const std::int64_t cols = wide ? 2000 + random() % 5000 : 1 + random() % 700;
    const std::int64_t tokens = 1 + random() % (i % 2 == 0 ? 9 : 60);
    const std::int64_t y_stride = rows + random() % 20;
    const StoredWeight w = random_weight(random, format, rows, cols, normal_floats);
    const CodedRows x(random, tokens, cols);
    const std::int64_t begin = random() % static_cast<std::uint64_t>(rows);
    const std::int64_t end = begin + 1 + random() % static_cast<std::uint64_t>(rows - begin);
    const auto edge = random() % 2 == 0 ? GuardedMemory::Edge::end : GuardedMemory::Edge::start;
    const Guarded<std::byte> codes(w.bytes, edge);
    const Guarded<std::byte> group_scales(w.group_scales, edge);
    const Guarded<float> scales(w.scales, edge);
    const Guarded<std::int8_t> x_codes(x.codes, edge);
    const Guarded<float> x_scales(x.scales, edge);
    WeightMatrix view = w.view;
    view.data = codes.data();
    if (view.group_scales != nullptr) view.group_scales = group_scales.data();
    if (view.scales != nullptr) view.scales = scales.data();
    const std::vector<float> untouched(static_cast<std::size_t>((tokens - 1) * y_stride + rows),
                                       -7.0f);
    std::vector<float> want = untouched;
    LinearArgs args{.x_codes = x_codes.data(),
                    .x_scales = x_scales.data(),
                    .w = view,
                    .y = want.data(),
                    .y_stride = y_stride,
                    .tokens = tokens};
    reference().linear_int8(args, begin, end);
    for (const KernelTable* level : available_levels()) {
      const Guarded<float> got(untouched, edge);
      args.y = got.data();
      level->linear_int8(args, begin, end);
      ASSERT_TRUE(same_bits(got.data(), want.data(), want.size()))
          << level->name << " " << format.name << " rows " << rows << " cols " << cols << " tokens "
          << tokens << " share " << begin << " to " << end << " seed " << kSeed;
    }
  }
}

TEST(LinearInt8, GivesEveryRowTheSameBitsInBatchesOf1To130) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kMost = 130;
  for (const WeightFormat& format : kInt8Formats) {
    // Two units of 16 features and a part of one; four blocks of 128 columns and a part of one.
    const StoredWeight w = random_weight(random, format, 37, 531, normal_floats);
    const CodedRows x(random, kMost, 531);
    for (const KernelTable* level : available_levels()) {
      std::vector<float> alone;
      for (std::int64_t t = 0; t < kMost; ++t) {
        const std::vector<float> y = run(*level, w.view, x, t, 1);
        alone.insert(alone.end(), y.begin(), y.end());
      }
      for (std::int64_t tokens = 1; tokens <= kMost; ++tokens) {
        const std::vector<float> y = run(*level, w.view, x, 0, tokens);
        ASSERT_TRUE(same_bits(y.data(), alone.data(), y.size()))
            << level->name << " " << format.name << " tokens " << tokens;
      }
    }
  }
}

TEST(LinearInt8, GivesSharesOfANumberedCallTheBitsOfTheWhole) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kRows = 40;
  constexpr std::int64_t kCols = 300;
  for (const WeightFormat& format : kInt8Formats)
    for (const std::int64_t tokens : {1, 3, 8, 12, 70}) {
      const StoredWeight w = random_weight(random, format, kRows, kCols, normal_floats);
      const StoredWeight other = random_weight(random, format, kRows, kCols, normal_floats);
      const CodedRows first(random, tokens, kCols);
      const CodedRows second(random, tokens, kCols);
      for (const KernelTable* level : available_levels()) {
        const std::vector<float> of_first = run(*level, w.view, first, 0, tokens);
        const std::vector<float> of_second = run(*level, w.view, second, 0, tokens);
        const std::vector<float> of_other = run(*level, other.view, first, 0, tokens);
        CodedRows mixed = first;
        mixed.scales = second.scales;
        const std::vector<float> of_mixed = run(*level, w.view, mixed, 0, tokens);
        // From here on nothing comes between: what is kept is found unless its number is another.
        CodedRows x = first;
        const auto expect = [&](const WeightMatrix& weight, std::uint64_t call, const float* scales,
                                const std::vector<float>& want) {
          std::vector<float> y(static_cast<std::size_t>(tokens * kRows));
          const LinearArgs args{.x_codes = x.codes.data(),
                                .x_scales = scales,
                                .w = weight,
                                .y = y.data(),
                                .y_stride = kRows,
                                .tokens = tokens,
                                .call = call};
          level->linear_int8(args, 0, 16);
          level->linear_int8(args, 16, kRows);
          EXPECT_EQ(y, want) << level->name << " " << format.name << " tokens " << tokens;
        };
        const std::uint64_t call = next_call_number();
        expect(w.view, call, x.scales.data(), of_first);
        expect(other.view, call, x.scales.data(), of_other);
        expect(w.view, call, x.scales.data(), of_first);
        expect(w.view, call, mixed.scales.data(), of_mixed);
        // At the same place, in the call after it.
        std::copy(second.codes.begin(), second.codes.end(), x.codes.begin());
        expect(w.view, next_call_number(), mixed.scales.data(), of_second);
      }
    }
}

/// Whole blocks of the largest codes are where 16-bit sums of pairs would overflow.
TEST(LinearInt8, MultipliesEveryPairOfCodesExactly) {
  for (int code = -127; code <= 127; ++code) {
    std::vector<std::byte> weights;  // row i is full of code i
    for (int i = 0; i < 256; ++i)
      weights.insert(weights.end(), kScaleBlock, static_cast<std::byte>(i));
    const std::vector<float> ones(256, 1.0f);
    const WeightMatrix w{.data = weights.data(),
                         .dtype = DType::i8,
                         .rows = 256,
                         .cols = kScaleBlock,
                         .scales = ones.data(),
                         .scale_shape = ScaleShape::row};
    const std::vector<std::int8_t> x(5 * kScaleBlock, static_cast<std::int8_t>(code));
    for (const KernelTable* level : available_levels())
      for (const std::int64_t tokens : {1, 2, 5}) {
        std::vector<float> y(static_cast<std::size_t>(tokens * 256));
        level->linear_int8({.x_codes = x.data(),
                            .x_scales = ones.data(),
                            .w = w,
                            .y = y.data(),
                            .y_stride = 256,
                            .tokens = tokens},
                           0, 256);
        for (std::size_t i = 0; i < y.size(); ++i)
          ASSERT_EQ(y[i], static_cast<float>(128 * code * static_cast<std::int8_t>(i % 256)))
              << level->name << " code " << code << " weight " << i % 256;
      }
  }
}

TEST(LinearInt8, FindsEveryInt4CodeInEveryColumn) {
  constexpr std::int64_t kCols = 171;  // a block of 128, a group of 32, 11 more
  const StoredWeight w = every_int4_code(kCols);
  std::mt19937 random(kSeed);
  CodedRows x(random, 11, kCols);
  std::fill(x.scales.begin(), x.scales.end(), 1.0f);
  for (const KernelTable* level : available_levels())
    for (const std::int64_t tokens : {1, 2, 11})
      for (std::int64_t k = 0; k < kCols; ++k) {
        std::fill(x.codes.begin(), x.codes.end(), std::int8_t{0});
        for (std::int64_t t = 0; t < tokens; ++t)
          x.codes[static_cast<std::size_t>(t * padded_codes(kCols) + k)] = -127;
        const std::vector<float> y = run(*level, w.view, x, 0, tokens);
        for (std::size_t i = 0; i < y.size(); ++i)
          ASSERT_EQ(y[i], -127 * w.value(static_cast<std::int64_t>(i % 16), k))
              << level->name << " code " << i % 16 << " column " << k << " tokens " << tokens;
      }
}

TEST(LinearInt8, ReadsWeightsAtAnyByteOffsetBetweenGuardPages) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kMost = 11;
  for (const WeightFormat& format : kInt8Formats)
    for (const std::int64_t cols : {1, 15, 33, 131, 160, 256}) {
      const std::int64_t rows = 1 + random() % 25;
      const StoredWeight w = random_weight(random, format, rows, cols, normal_floats);
      const CodedRows x(random, kMost, cols);
      const std::vector<float> want = run(reference(), w.view, x, 0, kMost);
      for (std::size_t offset = 0; offset < 64; ++offset)
        for (const auto edge : {GuardedMemory::Edge::end, GuardedMemory::Edge::start}) {
          const bool start = edge == GuardedMemory::Edge::start;
          const std::size_t at = start ? offset : 0;
          const GuardedMemory memory(w.bytes.size() + at, edge);
          memory.fill(w.bytes, at);
          const GuardedMemory scales(w.group_scales.size() + at, edge);
          scales.fill(w.group_scales, at);
          WeightMatrix view = w.view;
          view.data = memory.data() + at;
          if (view.group_scales != nullptr) view.group_scales = scales.data() + at;
          for (const KernelTable* level : available_levels())
            for (const std::int64_t tokens : {std::int64_t{1}, std::int64_t{2}, kMost}) {
              const std::vector<float> y = run(*level, view, x, kMost - tokens, tokens);
              ASSERT_TRUE(same_bits(y.data(), want.data() + (kMost - tokens) * rows, y.size()))
                  << level->name << " " << format.name << " cols " << cols << " offset " << offset
                  << " tokens " << tokens;
            }
          if (!start && offset > 0) break;
        }
    }
}

/// All levels give the same bits, so that alone would not tell.
TEST(LinearInt8, HasItsOwnWayWhereALevelHasItsOwnProducts) {
  for (const auto& [name, below] :
       {std::pair{"avx2_vnni", "avx2"}, {"avx512_vnni", "avx512"}, {"avx512_amx", "avx512_bf16"}}) {
    const auto level = select_level(name);
    if (!level) continue;
    EXPECT_NE((*level)->linear_int8, (*select_level(below))->linear_int8) << name;
    EXPECT_EQ((*level)->linear, (*select_level(below))->linear) << name;
  }
}

/// The kernel would save 8 KiB of them at every switch of threads.
TEST(LinearInt8, LeavesNoTilesBehind) {
  const auto level = select_level("avx512_amx");
  if (!level) GTEST_SKIP() << "untested here: " << level.error().detail;
  std::mt19937 random(kSeed);
  for (const WeightFormat& format : kInt8Formats) {
    const StoredWeight w = random_weight(random, format, 20, 130, normal_floats);
    const CodedRows x(random, 20, 130);
    run(**level, w.view, x, 0, 20);
    std::uint32_t low = 0;  // of XINUSE: state that is not as at the start
    std::uint32_t high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    constexpr std::uint32_t kTileConfigAndData = 3U << 17;
    EXPECT_EQ(low & kTileConfigAndData, 0u) << format.name;
  }
}

struct Quantised {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
};

Quantised quantise(const KernelTable& level, const std::vector<float>& x, std::int64_t rows,
                   std::int64_t width) {
  Quantised out;
  out.codes.assign(static_cast<std::size_t>(rows * padded_codes(width)), std::int8_t{99});
  out.scales.resize(static_cast<std::size_t>(rows * scale_blocks(width)));
  level.quantise_int8({.x = x.data(),
                       .x_stride = width,
                       .q = out.codes.data(),
                       .scales = out.scales.data(),
                       .rows = rows,
                       .width = width},
                      0, rows);
  return out;
}

TEST(QuantiseInt8, HasTheReferencesBitsAndStaysWithinHalfAStep) {
  std::mt19937 random(kSeed);
  for (const std::int64_t width : {1, 7, 128, 200, 515}) {
    std::vector<float> x = normal_floats(random, 4 * width);
    for (float& v : x)
      if (random() % 16 == 0) v *= 1e-39f;
    const Quantised want = quantise(reference(), x, 4, width);
    for (const KernelTable* level : available_levels()) {
      const Quantised got = quantise(*level, x, 4, width);
      EXPECT_EQ(got.codes, want.codes) << level->name << " width " << width;
      EXPECT_EQ(got.scales, want.scales) << level->name << " width " << width;
    }
    for (std::int64_t r = 0; r < 4; ++r)
      for (std::int64_t k = 0; k < padded_codes(width); ++k) {
        const auto code = want.codes[static_cast<std::size_t>(r * padded_codes(width) + k)];
        if (k >= width) {
          EXPECT_EQ(code, 0);
          continue;
        }
        const float scale =
            want.scales[static_cast<std::size_t>(r * scale_blocks(width) + k / kScaleBlock)];
        EXPECT_NEAR(static_cast<float>(code) * scale, x[static_cast<std::size_t>(r * width + k)],
                    0.5001f * scale);
      }
  }
}

TEST(QuantiseInt8, TurnsZerosIntoZerosAndHidesNoNaN) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
        std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(256, 0.0f);
    x[130] = 3.0f;
    x[131] = bad;
    for (const KernelTable* level : available_levels()) {
      const Quantised got = quantise(*level, x, 1, 256);
      EXPECT_EQ(got.scales[0], 1e-10f / 127.0f) << level->name;
      EXPECT_TRUE(std::isnan(got.scales[1])) << level->name;
      EXPECT_EQ(std::count(got.codes.begin(), got.codes.end(), 0), 256) << level->name;
    }
  }
}

TEST(LinearInt8DeathTest, RefusesRowsWithoutScalesAndOtherWeights) {
  const std::vector<std::byte> bytes(128);
  const std::vector<std::int8_t> codes(128);
  const std::vector<float> scales(1, 1.0f);
  std::vector<float> y(1);
  LinearArgs args{.x_codes = codes.data(), .w = {}, .y = y.data(), .y_stride = 1, .tokens = 1};
  args.w = {
      .data = bytes.data(), .dtype = DType::i8, .rows = 1, .cols = 128, .scales = scales.data()};
  EXPECT_DEATH(select_level("auto").value()->linear_int8(args, 0, 1), "scales");
  args.x_scales = scales.data();
  args.w.dtype = DType::f8_e4m3;
  EXPECT_DEATH(reference().linear_int8(args, 0, 1), "INT8 or INT4 weight");
}

}  // namespace
}  // namespace troupe::kernels
