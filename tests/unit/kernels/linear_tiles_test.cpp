// linear_tiles: the reference's bits at every level, right against F64, and what it must not do.
#include <gtest/gtest.h>
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/engine.hpp"
#include "kernels/ops/linear.hpp"
#include "tests/unit/kernels/call_numbers.hpp"
#include "tests/unit/kernels/guarded_memory.hpp"
#include "tests/unit/kernels/stored_weight.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20261130;
constexpr std::array kTileFormats{kBf16, kE4m3};

const KernelTable& reference() { return **select_level("reference"); }

/// All features of some rows, in as many shares as there are `ends`.
std::vector<float> run_tiles(const KernelTable& level, const WeightMatrix& w, const float* x,
                             std::int64_t tokens, std::span<const std::int64_t> ends = {}) {
  std::vector<float> y(static_cast<std::size_t>(tokens * w.rows), -7.0f);
  LinearArgs args{
      .x = x, .x_stride = w.cols, .w = w, .y = y.data(), .y_stride = w.rows, .tokens = tokens};
  std::int64_t begin = 0;
  if (!ends.empty()) args.call = next_call_number();
  for (const std::int64_t end : ends) {
    level.linear_tiles(args, begin, end);
    begin = end;
  }
  level.linear_tiles(args, begin, w.rows);
  return y;
}

void expect_same(const std::vector<float>& want, const std::vector<float>& got,
                 const std::string& what) {
  ASSERT_EQ(want.size(), got.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(want[i]), std::bit_cast<std::uint32_t>(got[i]))
        << what << " element " << i << " want " << want[i] << " got " << got[i] << " seed "
        << kSeed;
}

/// Numbers of all sizes that sums of them do not overflow: a quarter near 1, the others from
/// subnormal ones on; zeros of both signs.
std::vector<float> floats_of_all_sizes(std::mt19937& random, std::int64_t n) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) {
    const std::uint32_t exponent = random() % 4 == 0 ? 120 + random() % 10 : random() % 186;
    const auto bits = static_cast<std::uint32_t>(random()) & 0x807fffffU;
    v = std::bit_cast<float>(bits | exponent << 23U);
    if (random() % 16 == 0) v = std::copysign(0.0f, v);
  }
  return values;
}

TEST(LinearTiles, HasTheBitsOfTheReferenceAtEveryLevel) {
  std::mt19937 random(kSeed);
  for (int i = 0; i < 120; ++i) {
    const WeightFormat& format = kTileFormats[static_cast<std::size_t>(i % 2)];
    const std::int64_t rows = 1 + random() % 300;
    const std::int64_t cols = 1 + random() % (i % 8 == 0 ? 1500 : 400);
    const std::int64_t tokens = 1 + random() % (i % 3 == 0 ? 130 : 20);
    const DrawFloats draw = i % 5 == 0 ? floats_of_all_sizes : normal_floats;
    const StoredWeight w = random_weight(random, format, rows, cols, draw);
    const std::vector<float> x = draw(random, tokens * cols);
    const std::vector<float> want = run_tiles(reference(), w.view, x.data(), tokens);
    const std::array<std::int64_t, 2> shares{rows / 3, rows / 2};
    for (const KernelTable* level : available_levels()) {
      const std::string what = std::string(level->name) + " " + std::string(format.name) + " [" +
                               std::to_string(rows) + ", " + std::to_string(cols) + "] tokens " +
                               std::to_string(tokens);
      expect_same(want, run_tiles(*level, w.view, x.data(), tokens), what);
      expect_same(want, run_tiles(*level, w.view, x.data(), tokens, shares), what + " in shares");
    }
  }
}

TEST(LinearTiles, GivesRowsTheSameBitsWhereNotAllArePreparedTogether) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kCols = 20'000;  // 80 rows take more than half of a level-2 cache
  for (const WeightFormat& format : kTileFormats) {
    const StoredWeight w = random_weight(random, format, 3, kCols, normal_floats);
    const std::vector<float> x = normal_floats(random, 80 * kCols);
    const std::vector<float> want = run_tiles(reference(), w.view, x.data(), 80);
    for (const KernelTable* level : available_levels()) {
      const std::array<std::int64_t, 1> shares{1};
      expect_same(want, run_tiles(*level, w.view, x.data(), 80, shares), std::string(level->name));
    }
  }
}

TEST(LinearTiles, IsRightWithinTheRoundingOfItsSums) {
  std::mt19937 random(kSeed);
  for (const WeightFormat& format : kTileFormats)
    for (const std::int64_t cols : {1, 31, 32, 33, 129, 576}) {
      const StoredWeight w = random_weight(random, format, 140, cols, normal_floats);
      const std::vector<float> x = normal_floats(random, 3 * cols);
      const std::vector<float> y = run_tiles(reference(), w.view, x.data(), 3);
      for (std::int64_t t = 0; t < 3; ++t)
        for (std::int64_t r = 0; r < 140; ++r) {
          double want = 0;
          double magnitude = 0;
          for (std::int64_t k = 0; k < cols; ++k) {
            const float input = round_to_bf16(x[static_cast<std::size_t>(t * cols + k)]);
            const double term = w.value(r, k) * static_cast<double>(input);
            want += term;
            magnitude += std::fabs(term);
          }
          // 16 terms of a tile and its two sums, cols/32 + 1 tiles, cols/128 + 1 blocks.
          const double steps = static_cast<double>(cols) / 25 + 20;
          EXPECT_NEAR(y[static_cast<std::size_t>(t * 140 + r)], want,
                      steps * 0x1p-24 * magnitude + 1e-30)
              << format.name << " row " << r << " cols " << cols << " seed " << kSeed;
        }
    }
}

TEST(LinearTiles, MultipliesEveryCodeExactly) {
  std::vector<std::byte> codes;
  for (int code = 0; code < 256; ++code) codes.push_back(static_cast<std::byte>(code));
  const std::vector<float> scales{0.5f, 0.5f};
  const WeightMatrix w{.data = codes.data(),
                       .dtype = DType::f8_e4m3,
                       .rows = 256,
                       .cols = 1,
                       .scales = scales.data()};
  const auto value = [](std::uint8_t code) {
    if (is_e4m3_nan(code)) return code < 0x80 ? 480.0f : -480.0f;  // as `linear` counts them
    return e4m3_to_f32(code);
  };
  for (const KernelTable* level : available_levels())
    for (const std::int64_t tokens : {1, 20}) {
      const std::vector<float> x(static_cast<std::size_t>(tokens), 3.0f);
      const std::vector<float> y = run_tiles(*level, w, x.data(), tokens);
      for (std::size_t i = 0; i < y.size(); ++i)
        EXPECT_EQ(y[i], value(static_cast<std::uint8_t>(i % 256)) * 1.5f)
            << level->name << " code " << i % 256 << " tokens " << tokens;
    }
}

TEST(LinearTiles, KeepsEvenAndOddColumnsApartAndAddsTilesInTheirOrder) {
  // 2^24 + 1 is 2^24: which ones meet it says in which order they are added.
  const auto sum_of = [](const KernelTable& level, std::vector<std::pair<std::int64_t, float>> at) {
    std::vector<Bf16> w(96);
    for (const auto& [column, value] : at) w[static_cast<std::size_t>(column)] = f32_to_bf16(value);
    const WeightMatrix view{.data = reinterpret_cast<const std::byte*>(w.data()),
                            .dtype = DType::bf16,
                            .rows = 1,
                            .cols = 96};
    const std::vector<float> ones(96, 1.0f);
    return run_tiles(level, view, ones.data(), 1)[0];
  };
  constexpr float kLarge = 0x1p24f;
  for (const KernelTable* level : available_levels()) {
    // The ones of odd columns are 4 before they meet the even column's number, the even ones not.
    EXPECT_EQ(sum_of(*level, {{0, kLarge}, {1, 1}, {3, 1}, {5, 1}, {7, 1}}), kLarge + 4)
        << level->name;
    EXPECT_EQ(sum_of(*level, {{0, kLarge}, {2, 1}, {4, 1}, {6, 1}, {8, 1}}), kLarge) << level->name;
    // So are those of one tile of columns before they meet the one before it.
    EXPECT_EQ(sum_of(*level, {{31, kLarge}, {32, 1}, {34, 1}, {36, 1}, {38, 1}}), kLarge + 4)
        << level->name;
    EXPECT_EQ(sum_of(*level, {{31, kLarge}, {32, 1}, {64, 1}, {65, -kLarge}}), 1.0f - 0.0f)
        << level->name;
  }
}

TEST(LinearTiles, ReadsSubnormalNumbersAsZeroAndMakesNone) {
  const std::array<Bf16, 2> small{0x0001, 0x0080};  // the least subnormal, the least normal
  const WeightMatrix w{.data = reinterpret_cast<const std::byte*>(small.data()),
                       .dtype = DType::bf16,
                       .rows = 2,
                       .cols = 1};
  for (const KernelTable* level : available_levels())
    for (const std::int64_t tokens : {1, 20}) {
      const std::vector<float> large(static_cast<std::size_t>(tokens), 0x1p100f);
      const std::vector<float> half(static_cast<std::size_t>(tokens), 0.5f);
      EXPECT_EQ(run_tiles(*level, w, large.data(), tokens)[0], 0.0f) << level->name;
      EXPECT_EQ(run_tiles(*level, w, large.data(), tokens)[1], 0x1p-26f) << level->name;
      EXPECT_EQ(run_tiles(*level, w, half.data(), tokens)[1], 0.0f) << level->name;
    }
  // Of x, too: the largest subnormal one is zero, not the least normal BF16 that is next to it.
  const Bf16 large = f32_to_bf16(0x1p120f);
  const WeightMatrix one{.data = reinterpret_cast<const std::byte*>(&large),
                         .dtype = DType::bf16,
                         .rows = 1,
                         .cols = 1};
  const float below = std::nextafter(std::numeric_limits<float>::min(), 0.0f);
  for (const KernelTable* level : available_levels()) {
    EXPECT_EQ(run_tiles(*level, one, &below, 1)[0], 0.0f) << level->name;
    const float least = std::numeric_limits<float>::min();
    EXPECT_EQ(run_tiles(*level, one, &least, 1)[0], 0x1p-6f) << level->name;
  }
}

TEST(LinearTiles, KeepsTheSignOfInputsThatAreZero) {
  // Tiles 0 and 1 leave a negative sum that is too small, which is -0; tile 2 adds what both of its
  // chains are: small and negative, then products with x, -0 or subnormal.
  constexpr std::int64_t kCols = 96;
  std::vector<Bf16> w(kCols, f32_to_bf16(1.0f));
  std::fill(w.begin(), w.begin() + 64, Bf16{0});
  w[0] = f32_to_bf16(0x1p-63f);
  w[32] = f32_to_bf16(-0x1.8p-63f);
  w[64] = w[65] = f32_to_bf16(-0x1p-64f);
  const WeightMatrix view{.data = reinterpret_cast<const std::byte*>(w.data()),
                          .dtype = DType::bf16,
                          .rows = 1,
                          .cols = kCols};
  for (const float zero : {-0.0f, -std::numeric_limits<float>::denorm_min()}) {
    std::vector<float> x(kCols, zero);
    x[0] = x[32] = 0x1p-63f;
    x[64] = x[65] = 0x1p-66f;
    for (const KernelTable* level : available_levels()) {
      const float y = run_tiles(*level, view, x.data(), 1)[0];
      EXPECT_EQ(y, 0.0f) << level->name;
      EXPECT_TRUE(std::signbit(y)) << level->name;
    }
  }
}

TEST(LinearTiles, LeavesTheCallersArithmeticAsItWas) {
  std::mt19937 random(kSeed);
  const StoredWeight w = random_weight(random, kE4m3, 40, 64, normal_floats);
  const std::vector<float> x = normal_floats(random, 20 * 64);
  const unsigned int before = _mm_getcsr();
  for (const KernelTable* level : available_levels()) {
    run_tiles(*level, w.view, x.data(), 20);
    EXPECT_EQ(_mm_getcsr() & 0x8040U, before & 0x8040U) << level->name;
  }
}

TEST(LinearTiles, ReadsNothingBesideWeightsAndRows) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kMost = 37;
  for (const WeightFormat& format : kTileFormats)
    for (const std::int64_t cols : {1, 15, 33, 131, 160}) {
      const std::int64_t rows = 1 + random() % 40;
      const StoredWeight w = random_weight(random, format, rows, cols, normal_floats);
      const std::vector<float> x = normal_floats(random, kMost * cols);
      for (std::size_t offset = 0; offset < 64; offset += 7)
        for (const auto edge : {GuardedMemory::Edge::end, GuardedMemory::Edge::start}) {
          const std::size_t at = edge == GuardedMemory::Edge::start ? offset : 0;
          const GuardedMemory memory(w.bytes.size() + at, edge);
          memory.fill(w.bytes, at);
          const GuardedMemory inputs(x.size() * sizeof(float), edge);
          inputs.fill(std::as_bytes(std::span(x)));
          const auto* guarded = reinterpret_cast<const float*>(inputs.data());
          WeightMatrix view = w.view;
          view.data = memory.data() + at;
          for (const std::int64_t tokens : {std::int64_t{1}, std::int64_t{16}, kMost}) {
            const float* first = guarded + (kMost - tokens) * cols;
            const std::vector<float> want = run_tiles(reference(), view, first, tokens);
            for (const KernelTable* level : available_levels())
              expect_same(want, run_tiles(*level, view, first, tokens), std::string(level->name));
          }
        }
    }
}

TEST(LinearTiles, TakesRowsOfAnyStrideAndWritesNothingBesideItsShare) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kRows = 150;
  constexpr std::int64_t kBeside = 5;  // floats between two rows of x or of y
  constexpr float kUntouched = -7.0f;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const WeightFormat& format : kTileFormats)
    for (const std::int64_t cols : {33, 288})
      for (const std::int64_t tokens : {1, 5, 37}) {
        const StoredWeight w = random_weight(random, format, kRows, cols, normal_floats);
        const std::vector<float> x = normal_floats(random, tokens * cols);
        const std::vector<float> want = run_tiles(reference(), w.view, x.data(), tokens);
        std::vector<float> spread(static_cast<std::size_t>(tokens * (cols + kBeside)), nan);
        for (std::int64_t t = 0; t < tokens; ++t)
          std::copy_n(x.begin() + t * cols, cols, spread.begin() + t * (cols + kBeside));
        for (const KernelTable* level : available_levels()) {
          constexpr std::int64_t kStride = kRows + kBeside;
          constexpr std::int64_t kBegin = 7;
          constexpr std::int64_t kEnd = 137;  // of the second block of scales
          std::vector<float> y(static_cast<std::size_t>(tokens * kStride), kUntouched);
          level->linear_tiles({.x = spread.data(),
                               .x_stride = cols + kBeside,
                               .w = w.view,
                               .y = y.data(),
                               .y_stride = kStride,
                               .tokens = tokens},
                              kBegin, kEnd);
          std::vector<float> all(y.size(), kUntouched);
          for (std::int64_t t = 0; t < tokens; ++t)
            std::copy_n(want.begin() + t * kRows + kBegin, kEnd - kBegin,
                        all.begin() + t * kStride + kBegin);
          expect_same(all, y, std::string(level->name) + " " + std::string(format.name));
        }
      }
}

TEST(LinearTiles, ReadsSubnormalScalesAsZeroAndMakesNoneOfSums) {
  // A code of 1 and its scale: the sum of a block meets arithmetic of its own.
  const std::array<std::byte, 1> one{std::byte{0x38}};
  const float least = std::numeric_limits<float>::min();
  struct Case {
    float scale, x, y;
  };
  const std::array cases{Case{least / 2, 0x1p100f, 0.0f}, Case{least, 0x1p100f, 0x1p-26f},
                         Case{least, 0.5f, 0.0f}, Case{least, -0.5f, -0.0f}};
  for (const Case& c : cases) {
    const WeightMatrix w{
        .data = one.data(), .dtype = DType::f8_e4m3, .rows = 1, .cols = 1, .scales = &c.scale};
    for (const KernelTable* level : available_levels())
      for (const std::int64_t tokens : {1, 20}) {
        const std::vector<float> x(static_cast<std::size_t>(tokens), c.x);
        const std::vector<float> want(x.size(), c.y);
        expect_same(want, run_tiles(*level, w, x.data(), tokens),
                    std::string(level->name) + " case " + std::to_string(&c - cases.data()));
      }
  }
}

/// Some of `normal_floats` infinite or NaN.
std::vector<float> floats_not_all_finite(std::mt19937& random, std::int64_t n) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> values = normal_floats(random, n);
  for (float& v : values)
    if (random() % 512 == 0)
      v = random() % 3 == 0 ? std::numeric_limits<float>::quiet_NaN() : std::copysign(kInfinity, v);
  return values;
}

TEST(LinearTiles, KeepsWhatIsNotFiniteToItsRowsAndFeatures) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kCols = 288;
  for (const WeightFormat& format : kTileFormats)
    for (const std::int64_t tokens : {1, 5, 37}) {
      const StoredWeight w = random_weight(random, format, 150, kCols, floats_not_all_finite);
      const std::vector<float> x = floats_not_all_finite(random, tokens * kCols);
      // Which of two NaN a sum becomes is no level's promise.
      const auto results = [&](const KernelTable& level) {
        std::vector<float> y = run_tiles(level, w.view, x.data(), tokens);
        for (float& v : y)
          if (std::isnan(v)) v = std::numeric_limits<float>::quiet_NaN();
        return y;
      };
      const std::vector<float> want = results(reference());
      for (const KernelTable* level : available_levels())
        expect_same(want, results(*level),
                    std::string(level->name) + " " + std::string(format.name));
    }
}

TEST(LinearTiles, TakesNothingFromWhatEarlierCallsLeftInMemory) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kMost = 640;
  constexpr std::int64_t kTokens = 37;
  const std::vector<float> nans(kMost * kTokens, std::numeric_limits<float>::quiet_NaN());
  for (const WeightFormat& format : kTileFormats) {
    const StoredWeight large = random_weight(random, format, 64, kMost, normal_floats);
    for (const std::int64_t cols : {1, 32, 33, 96, 544})
      for (const std::int64_t tokens : {std::int64_t{1}, std::int64_t{16}, kTokens}) {
        const StoredWeight w = random_weight(random, format, 33, cols, normal_floats);
        const std::vector<float> x = normal_floats(random, tokens * cols);
        const std::vector<float> want = run_tiles(reference(), w.view, x.data(), tokens);
        for (const KernelTable* level : available_levels()) {
          if (level == &reference()) continue;
          run_tiles(*level, large.view, nans.data(), kTokens);
          expect_same(want, run_tiles(*level, w.view, x.data(), tokens),
                      std::string(level->name) + " " + std::string(format.name));
        }
      }
  }
}

TEST(LinearTiles, StaysInItsMemoryWhereNoOtherLevelMadeItLarger) {
  // A thread's memory grows, and levels need different sizes: each call has a thread of its own, so
  // that the asan preset sees a size that is too small.
  std::mt19937 random(kSeed);
  for (const WeightFormat& format : kTileFormats)
    for (const std::int64_t cols : {1, 33, 544})
      for (const std::int64_t tokens : {1, 16, 17, 70}) {
        const StoredWeight w = random_weight(random, format, 33, cols, normal_floats);
        const std::vector<float> x = normal_floats(random, tokens * cols);
        const std::vector<float> want = run_tiles(reference(), w.view, x.data(), tokens);
        for (const KernelTable* level : available_levels()) {
          std::vector<float> got;
          std::thread([&] { got = run_tiles(*level, w.view, x.data(), tokens); }).join();
          expect_same(want, got, std::string(level->name) + " " + std::string(format.name));
        }
      }
}

TEST(LinearTiles, AreWhatAnEngineSetForThemUses) {
  std::mt19937 random(kSeed);
  ComputePool pool({.threads = 2});
  constexpr std::int64_t kTokens = 20;
  for (const WeightFormat& format : kFormats) {
    const std::int64_t cols = format.width(300);
    const StoredWeight w = random_weight(random, format, 70, cols, normal_floats);
    std::vector<float> x = normal_floats(random, kTokens * cols);
    for (float& v : x) v = round_to_bf16(v);
    for (const KernelTable* level : available_levels()) {
      std::vector<float> got(70 * kTokens);
      LinearArgs args{.x = x.data(),
                      .x_stride = cols,
                      .w = w.view,
                      .y = got.data(),
                      .y_stride = 70,
                      .tokens = kTokens};
      const Engine engine{.table = level, .pool = &pool, .bf16_sums = Bf16Sums::tiles};
      engine.linear(args);
      std::vector<float> want(got.size());
      args.y = want.data();
      (w.view.takes_tiles() ? level->linear_tiles : level->linear)(args, 0, 70);
      expect_same(want, got, std::string(level->name) + " " + std::string(format.name));
    }
  }
}

TEST(LinearTiles, AreWhatAnEngineSetForThemUsesInGroupsOfAllFormats) {
  std::mt19937 random(kSeed);
  ComputePool pool({.threads = 2});
  constexpr std::int64_t kTokens = 20;
  constexpr std::int64_t kRows = 70;
  constexpr std::int64_t kCols = 384;  // a width of every format
  std::vector<float> x = normal_floats(random, kTokens * kCols);
  for (float& v : x) v = round_to_bf16(v);
  // As rows of mode fp8-act are: what is quantised is `linear`'s still.
  const std::vector<float> x_scales(kTokens * kCols / kScaleBlock, 0.5f);
  std::vector<StoredWeight> weights;
  for (const WeightFormat& format : kFormats)
    weights.push_back(random_weight(random, format, kRows, kCols, normal_floats));
  weights.push_back(random_weight(random, kE4m3, kRows, kCols, normal_floats));
  for (const KernelTable* level : available_levels()) {
    std::vector<float> got(weights.size() * kRows * kTokens);
    std::vector<LinearArgs> group;
    for (std::size_t i = 0; i < weights.size(); ++i)
      group.push_back({.x = x.data(),
                       .x_stride = kCols,
                       .x_scales = i + 1 == weights.size() ? x_scales.data() : nullptr,
                       .w = weights[i].view,
                       .y = got.data() + i * kRows * kTokens,
                       .y_stride = kRows,
                       .tokens = kTokens});
    const Engine engine{.table = level, .pool = &pool, .bf16_sums = Bf16Sums::tiles};
    engine.linears(group);
    std::vector<float> want(got.size());
    for (LinearArgs& args : group) {
      args.y = want.data() + (args.y - got.data());
      const bool tiles = args.w.takes_tiles() && args.x_scales == nullptr;
      (tiles ? level->linear_tiles : level->linear)(args, 0, kRows);
    }
    expect_same(want, got, std::string(level->name));
  }
}

TEST(LinearTilesDeathTest, RefusesOtherWeightsAndQuantisedRows) {
  std::mt19937 random(kSeed);
  const StoredWeight f32 = random_weight(random, kF32, 4, 32, normal_floats);
  const StoredWeight codes = random_weight(random, kE4m3, 4, 32, normal_floats);
  const std::vector<float> x(32);
  LinearArgs args{.x = x.data(), .x_stride = 32, .w = f32.view, .tokens = 1};
  EXPECT_DEATH(reference().linear_tiles(args, 0, 1), "tiles of BF16 with a weight of");
  args.w = codes.view;
  args.x_scales = x.data();
  EXPECT_DEATH(reference().linear_tiles(args, 0, 1), "rows as they are");
}

}  // namespace
}  // namespace troupe::kernels
