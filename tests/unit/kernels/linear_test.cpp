// linear: right against F64, the same bits for any batch, offset and caller, and no stray reads.
#include "kernels/ops/linear.hpp"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/engine.hpp"
#include "tests/unit/kernels/guarded_memory.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20241226;
constexpr unsigned int kFlushToZero = 0x8000;
constexpr unsigned int kDenormalsAreZero = 0x0040;
constexpr std::array kDtypes{DType::f8_e4m3, DType::bf16, DType::f32};

std::vector<float> normal_floats(std::mt19937& random, std::int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

/// Bytes and scales of a random weight, its view, and its values in F64.
struct Weight {
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  WeightMatrix view;

  double value(std::int64_t row, std::int64_t col) const {
    const std::byte* at =
        bytes.data() + (row * view.cols + col) * static_cast<std::int64_t>(bytes_of(view.dtype));
    if (view.dtype == DType::f8_e4m3)
      return static_cast<double>(e4m3_to_f32(std::to_integer<std::uint8_t>(*at))) *
             static_cast<double>(scales[static_cast<std::size_t>(
                 row / kScaleBlock * scale_blocks(view.cols) + col / kScaleBlock)]);
    if (view.dtype == DType::bf16) {
      Bf16 bits = 0;
      std::memcpy(&bits, at, sizeof(bits));
      return static_cast<double>(bf16_to_f32(bits));
    }
    float v = 0;
    std::memcpy(&v, at, sizeof(v));
    return static_cast<double>(v);
  }
};

Weight random_weight(std::mt19937& random, DType dtype, std::int64_t rows, std::int64_t cols) {
  Weight w;
  const std::vector<float> values = normal_floats(random, rows * cols);
  w.view = {.dtype = dtype, .rows = rows, .cols = cols};
  w.bytes.resize(static_cast<std::size_t>(w.view.bytes()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Bf16 half = f32_to_bf16(values[i]);
    switch (dtype) {
      case DType::f8_e4m3: w.bytes[i] = static_cast<std::byte>(f32_to_e4m3(100 * values[i])); break;
      case DType::bf16: std::memcpy(&w.bytes[2 * i], &half, 2); break;
      default: std::memcpy(&w.bytes[4 * i], &values[i], 4); break;
    }
  }
  if (dtype == DType::f8_e4m3) {
    w.scales = normal_floats(random, scale_blocks(rows) * scale_blocks(cols));
    w.view.scales = w.scales.data();
  }
  w.view.data = w.bytes.data();
  return w;
}

std::vector<float> run(const KernelTable& level, const WeightMatrix& w, const float* x,
                       std::int64_t tokens, const float* x_scales = nullptr) {
  std::vector<float> y(static_cast<std::size_t>(tokens * w.rows));
  level.linear({.x = x,
                .x_stride = w.cols,
                .x_scales = x_scales,
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

TEST(Linear, IsRightWithinTheRoundingOfItsSums) {
  std::mt19937 random(kSeed);
  for (const DType dtype : kDtypes)
    for (const std::int64_t cols : {1, 16, 129, 576}) {
      const Weight w = random_weight(random, dtype, 140, cols);
      const std::vector<float> x = normal_floats(random, 3 * cols);
      for (const KernelTable* level : available_levels()) {
        const std::vector<float> y = run(*level, w.view, x.data(), 3);
        for (std::int64_t t = 0; t < 3; ++t)
          for (std::int64_t r = 0; r < 140; ++r) {
            double want = 0;
            double magnitude = 0;
            for (std::int64_t k = 0; k < cols; ++k) {
              const double term = w.value(r, k) * static_cast<double>(x[t * cols + k]);
              want += term;
              magnitude += std::fabs(term);
            }
            // Each lane adds at most cols/16 + 1 terms and cols/128 + 1 blocks, the tree 4 levels.
            const double steps = static_cast<double>(cols) / 16 + 8;
            EXPECT_NEAR(y[static_cast<std::size_t>(t * 140 + r)], want,
                        steps * 0x1p-24 * magnitude + 1e-30)
                << level->name << " " << to_string(dtype) << " row " << r << " cols " << cols;
          }
      }
    }
}

TEST(Linear, GivesEveryRowTheSameBitsInBatchesOf1To130) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kRows = 21;
  constexpr std::int64_t kMost = 130;
  for (const DType dtype : kDtypes) {
    const std::int64_t cols = dtype == DType::bf16 ? 90 : 272;
    const Weight w = random_weight(random, dtype, kRows, cols);
    const std::vector<float> x = normal_floats(random, kMost * cols);
    const std::vector<float> scales = normal_floats(random, kMost * scale_blocks(cols));
    const float* x_scales = dtype == DType::f8_e4m3 ? scales.data() : nullptr;
    for (const KernelTable* level : available_levels()) {
      std::vector<float> alone;
      for (std::int64_t t = 0; t < kMost; ++t) {
        const float* s = x_scales == nullptr ? nullptr : x_scales + t * scale_blocks(cols);
        const std::vector<float> y = run(*level, w.view, x.data() + t * cols, 1, s);
        alone.insert(alone.end(), y.begin(), y.end());
      }
      for (std::int64_t tokens = 1; tokens <= kMost; ++tokens) {
        const std::vector<float> y = run(*level, w.view, x.data(), tokens, x_scales);
        ASSERT_TRUE(same_bits(y.data(), alone.data(), y.size()))
            << level->name << " " << to_string(dtype) << " tokens " << tokens;
      }
    }
  }
}

TEST(Linear, MultipliesEveryFiniteCodeExactly) {
  std::vector<std::byte> codes;
  for (int code = 0; code < 256; ++code)
    if (!is_e4m3_nan(static_cast<std::uint8_t>(code)))
      codes.push_back(static_cast<std::byte>(code));
  ASSERT_EQ(codes.size(), 254u);
  const std::vector<float> scales{0.5f, 0.5f};
  const WeightMatrix w{.data = codes.data(),
                       .dtype = DType::f8_e4m3,
                       .rows = 254,
                       .cols = 1,
                       .scales = scales.data()};
  for (const KernelTable* level : available_levels())
    for (const std::int64_t tokens : {1, 2, 5}) {
      const std::vector<float> x(static_cast<std::size_t>(tokens), 3.0f);
      const std::vector<float> y = run(*level, w, x.data(), tokens);
      for (std::size_t i = 0; i < codes.size(); ++i)
        EXPECT_EQ(y[i], e4m3_to_f32(std::to_integer<std::uint8_t>(codes[i])) * 1.5f)
            << level->name << " code " << i << " tokens " << tokens;
    }
}

TEST(Linear, TurnsZeroTilesIntoZero) {
  const std::vector<std::byte> zeros(130 * 300);
  const std::vector<float> scales(2 * 3, 1.0f);
  const WeightMatrix w{.data = zeros.data(),
                       .dtype = DType::f8_e4m3,
                       .rows = 130,
                       .cols = 300,
                       .scales = scales.data()};
  const std::vector<float> x(7 * 300, -2.0f);
  for (const KernelTable* level : available_levels())
    for (const float y : run(*level, w, x.data(), 7)) EXPECT_EQ(y, 0.0f);
}

TEST(Linear, ReadsWeightsAtAnyByteOffsetBetweenGuardPages) {
  std::mt19937 random(kSeed);
  for (const DType dtype : kDtypes)
    for (const std::int64_t cols : {1, 15, 17, 131, 160}) {
      const std::int64_t rows = 1 + random() % 9;
      const Weight w = random_weight(random, dtype, rows, cols);
      const std::vector<float> x = normal_floats(random, 5 * cols);
      const std::vector<float> want = run(*select_level("reference").value(), w.view, x.data(), 5);
      for (std::size_t offset = 0; offset < 64; ++offset)
        for (const auto edge : {GuardedMemory::Edge::end, GuardedMemory::Edge::start}) {
          const bool start = edge == GuardedMemory::Edge::start;
          // At the end: the last byte touches the guard page wherever the first one lies.
          const GuardedMemory memory(w.bytes.size() + (start ? offset : 0), edge);
          const std::size_t at = start ? offset : 0;
          memory.fill(w.bytes, at);
          const GuardedMemory inputs(x.size() * sizeof(float), edge);
          inputs.fill(std::as_bytes(std::span(x)));
          WeightMatrix view = w.view;
          view.data = memory.data() + at;
          for (const KernelTable* level : available_levels())
            for (const std::int64_t tokens : {1, 2, 5}) {
              const auto* rows_in = reinterpret_cast<const float*>(inputs.data());
              const std::vector<float> y = run(*level, view, rows_in + (5 - tokens) * cols, tokens);
              ASSERT_TRUE(same_bits(y.data(), want.data() + (5 - tokens) * rows, y.size()))
                  << level->name << " " << to_string(dtype) << " cols " << cols << " offset "
                  << offset << " tokens " << tokens;
            }
          if (!start && offset > 0) break;
        }
    }
}

TEST(Linear, KeepsItsBitsWhenTheCallerFlushesDenormals) {
  std::mt19937 random(kSeed);
  const Weight w = random_weight(random, DType::bf16, 40, 64);
  std::vector<float> x = normal_floats(random, 3 * 64);
  for (float& v : x) v *= 1e-38f;  // many products and sums are subnormal
  ComputePool pool({.threads = 2});
  for (const KernelTable* level : available_levels())
    for (ComputePool* threads : {static_cast<ComputePool*>(nullptr), &pool}) {
      const Engine engine{.table = level, .pool = threads};
      std::vector<float> want(3 * 40);
      std::vector<float> got(3 * 40);
      LinearArgs args{.x = x.data(), .x_stride = 64, .w = w.view, .y_stride = 40, .tokens = 3};
      args.y = want.data();
      engine.linear(args);
      const unsigned int before = _mm_getcsr();
      _mm_setcsr(before | kFlushToZero | kDenormalsAreZero);
      args.y = got.data();
      engine.linear(args);
      _mm_setcsr(before);
      EXPECT_TRUE(same_bits(want.data(), got.data(), want.size())) << level->name;
      bool subnormal = false;
      for (const float v : want) subnormal = subnormal || std::fpclassify(v) == FP_SUBNORMAL;
      EXPECT_TRUE(subnormal) << "the case must have something to lose";
    }
}

TEST(Engine, SplitsGroupsOfLinearsWithoutChangingABit) {
  std::mt19937 random(kSeed);
  ComputePool pool({.threads = 3});
  std::vector<Weight> weights;
  for (int i = 0; i < 6; ++i)
    weights.push_back(random_weight(random, kDtypes[static_cast<std::size_t>(i % 3)],
                                    1 + random() % 700, 1 + random() % 400));
  const std::vector<float> x = normal_floats(random, 20 * 400);
  for (const KernelTable* level : available_levels()) {
    std::vector<std::vector<float>> want;
    std::vector<std::vector<float>> got;
    std::vector<LinearArgs> group;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const std::int64_t tokens = i == 0 ? 20 : static_cast<std::int64_t>(i) - 1;
      want.push_back(run(*level, weights[i].view, x.data(), tokens));
      got.emplace_back(want.back().size());
      group.push_back({.x = x.data(),
                       .x_stride = weights[i].view.cols,
                       .w = weights[i].view,
                       .y_stride = weights[i].view.rows,
                       .tokens = tokens});
    }
    for (std::size_t i = 0; i < group.size(); ++i) group[i].y = got[i].data();
    Engine{.table = level, .pool = &pool}.linears(group);
    EXPECT_EQ(want, got) << level->name;
  }
}

TEST(LinearDeathTest, RefusesScalesThatDoNotBelong) {
  const std::vector<std::byte> bytes(16);
  const std::vector<float> x(8, 1.0f);
  std::vector<float> y(1);
  LinearArgs args{.x = x.data(), .x_stride = 8, .w = {}, .y = y.data(), .y_stride = 1, .tokens = 1};
  args.w = {.data = bytes.data(), .dtype = DType::bf16, .rows = 1, .cols = 8};
  args.x_scales = x.data();
  EXPECT_DEATH(select_level("auto").value()->linear(args, 0, 1), "e4m3");
  args.x_scales = nullptr;
  args.w.dtype = DType::f8_e4m3;
  EXPECT_DEATH(select_level("reference").value()->linear(args, 0, 1), "scales");
}

}  // namespace
}  // namespace troupe::kernels
