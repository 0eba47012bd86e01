// linear: right against F64, the same bits for any batch, offset and caller, and no stray reads.
#include "kernels/ops/linear.hpp"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "core/dtype.hpp"
#include "kernels/cpu/levels.hpp"
#include "kernels/engine.hpp"
#include "tests/unit/kernels/guarded_memory.hpp"
#include "tests/unit/kernels/run_linear.hpp"
#include "tests/unit/kernels/stored_weight.hpp"

namespace troupe::kernels {
namespace {

constexpr unsigned kSeed = 20241226;
constexpr unsigned int kFlushToZero = 0x8000;
constexpr unsigned int kDenormalsAreZero = 0x0040;

bool same_bits(const float* a, const float* b, std::size_t n) {
  return std::memcmp(a, b, n * sizeof(float)) == 0;
}

TEST(Linear, IsRightWithinTheRoundingOfItsSums) {
  std::mt19937 random(kSeed);
  for (const WeightFormat& format : kFormats)
    for (const std::int64_t least : {1, 16, 129, 576}) {
      const std::int64_t cols = format.width(least);
      const StoredWeight w = random_weight(random, format, 140, cols, normal_floats);
      const std::vector<float> x = normal_floats(random, 3 * cols);
      for (const KernelTable* level : available_levels()) {
        const std::vector<float> y = run_linear(*level, w.view, x.data(), 3);
        for (std::int64_t t = 0; t < 3; ++t)
          for (std::int64_t r = 0; r < 140; ++r) {
            double want = 0;
            double magnitude = 0;
            for (std::int64_t k = 0; k < cols; ++k) {
              const double term = w.value(r, k) * static_cast<double>(x[t * cols + w.input(k)]);
              want += term;
              magnitude += std::fabs(term);
            }
            // Each lane adds at most cols/16 + 1 terms and cols/128 + 1 blocks, the tree 4 levels.
            const double steps = static_cast<double>(cols) / 16 + 8;
            EXPECT_NEAR(y[static_cast<std::size_t>(t * 140 + r)], want,
                        steps * 0x1p-24 * magnitude + 1e-30)
                << level->name << " " << format.name << " row " << r << " cols " << cols;
          }
      }
    }
}

TEST(Linear, GivesEveryRowTheSameBitsInBatchesOf1To130) {
  std::mt19937 random(kSeed);
  constexpr std::int64_t kRows = 21;
  constexpr std::int64_t kMost = 130;
  for (const WeightFormat& format : kFormats) {
    const std::int64_t cols = format.width(format.dtype == DType::bf16 ? 90 : 275);
    const StoredWeight w = random_weight(random, format, kRows, cols, normal_floats);
    const std::vector<float> x = normal_floats(random, kMost * cols);
    const std::vector<float> scales = normal_floats(random, kMost * scale_blocks(cols));
    const float* x_scales = format.dtype == DType::f8_e4m3 ? scales.data() : nullptr;
    for (const KernelTable* level : available_levels()) {
      std::vector<float> alone;
      for (std::int64_t t = 0; t < kMost; ++t) {
        const float* s = x_scales == nullptr ? nullptr : x_scales + t * scale_blocks(cols);
        const std::vector<float> y = run_linear(*level, w.view, x.data() + t * cols, 1, s);
        alone.insert(alone.end(), y.begin(), y.end());
      }
      for (std::int64_t tokens = 1; tokens <= kMost; ++tokens) {
        const std::vector<float> y = run_linear(*level, w.view, x.data(), tokens, x_scales);
        ASSERT_TRUE(same_bits(y.data(), alone.data(), y.size()))
            << level->name << " " << format.name << " tokens " << tokens;
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
    for (const std::int64_t tokens : {1, 2, 5, 20}) {
      const std::vector<float> x(static_cast<std::size_t>(tokens), 3.0f);
      const std::vector<float> y = run_linear(*level, w, x.data(), tokens);
      for (std::size_t i = 0; i < codes.size(); ++i)
        EXPECT_EQ(y[i], e4m3_to_f32(std::to_integer<std::uint8_t>(codes[i])) * 1.5f)
            << level->name << " code " << i << " tokens " << tokens;
    }
}

TEST(Linear, MultipliesEveryInt8CodeExactly) {
  std::vector<std::byte> codes;
  for (int code = 0; code < 256; ++code) codes.push_back(static_cast<std::byte>(code));
  const std::vector<float> scales(256, 0.5f);
  for (const ScaleShape shape : {ScaleShape::block, ScaleShape::row}) {
    const WeightMatrix w{.data = codes.data(),
                         .dtype = DType::i8,
                         .rows = 256,
                         .cols = 1,
                         .scales = scales.data(),
                         .scale_shape = shape};
    for (const KernelTable* level : available_levels())
      for (const std::int64_t tokens : {1, 2, 11}) {
        const std::vector<float> x(static_cast<std::size_t>(tokens), 3.0f);
        const std::vector<float> y = run_linear(*level, w, x.data(), tokens);
        for (std::size_t i = 0; i < codes.size(); ++i)
          EXPECT_EQ(y[i], static_cast<float>(static_cast<std::int8_t>(i)) * 1.5f)
              << level->name << " code " << i << " tokens " << tokens;
      }
  }
}

TEST(Linear, FindsEveryInt4CodeInEveryColumn) {
  constexpr std::int64_t kCols = 171;  // a chunk of 128, a group of 32, 11 more
  const StoredWeight w = every_int4_code(kCols);
  for (const KernelTable* level : available_levels())
    for (const std::int64_t tokens : {1, 2, 11})
      for (std::int64_t k = 0; k < kCols; ++k) {
        std::vector<float> x(static_cast<std::size_t>(tokens * kCols));
        for (std::int64_t t = 0; t < tokens; ++t) x[static_cast<std::size_t>(t * kCols + k)] = 3;
        const std::vector<float> y = run_linear(*level, w.view, x.data(), tokens);
        for (std::size_t i = 0; i < y.size(); ++i)
          ASSERT_EQ(y[i], 3 * w.value(static_cast<std::int64_t>(i % 16), k))
              << level->name << " code " << i % 16 << " column " << k << " tokens " << tokens;
      }
}

TEST(Linear, OfInt4IsThatOfTheF32WeightItStandsFor) {
  std::mt19937 random(kSeed);
  for (const std::int64_t cols : {1, 31, 32, 33, 127, 200, 520}) {
    const StoredWeight packed = random_weight(random, kInt4, 37, cols, normal_floats);
    const std::vector<float> values = packed.values();
    const WeightMatrix plain{
        .data = reinterpret_cast<const std::byte*>(values.data()), .rows = 37, .cols = cols};
    const std::vector<float> x = normal_floats(random, 19 * cols);
    for (const KernelTable* level : available_levels())
      for (const std::int64_t tokens : {1, 4, 19})
        EXPECT_EQ(run_linear(*level, packed.view, x.data(), tokens),
                  run_linear(*level, plain, x.data(), tokens))
            << level->name << " cols " << cols << " tokens " << tokens;
  }
}

TEST(Linear, FindsEveryCodeAtEveryZeroPointInEveryColumn) {
  constexpr std::int64_t kCols = 288;  // chunks of 128, 128 and 32
  constexpr std::int64_t kGroup = 96;  // begins inside of chunks
  StoredWeight w;
  w.view = {.dtype = DType::i32, .rows = 16 * 17, .cols = kCols, .group_cols = kGroup};
  for (std::int64_t row = 0; row < w.view.rows; ++row) {
    const auto code = static_cast<unsigned>(row % 16);
    w.bytes.insert(w.bytes.end(), kCols / 2, static_cast<std::byte>(code | code << 4));
    for (int g = 0; g < 3; ++g)
      w.zeroed_scales.push_back(zeroed_scale(static_cast<float>(1 + g) * (row % 3 == 0 ? -1 : 1) *
                                                 f16_to_f32(0x3bff),  // all 11 bits are set
                                             static_cast<std::uint32_t>((row / 16 + g) % 17)));
  }
  w.view.data = w.bytes.data();
  w.view.zeroed_scales = w.zeroed_scales.data();
  for (const KernelTable* level : available_levels())
    for (const std::int64_t tokens : {1, 2, 11})
      for (std::int64_t k = 0; k < kCols; k += 7) {
        std::vector<float> x(static_cast<std::size_t>(tokens * kCols));
        for (std::int64_t t = 0; t < tokens; ++t) x[static_cast<std::size_t>(t * kCols + k)] = 4;
        const std::vector<float> y = run_linear(*level, w.view, x.data(), tokens);
        for (std::size_t i = 0; i < y.size(); ++i) {
          const auto row = static_cast<std::int64_t>(i) % w.view.rows;
          ASSERT_EQ(y[i], 4 * w.value(row, k))
              << level->name << " row " << row << " column " << k << " tokens " << tokens;
        }
      }
}

TEST(Linear, OfCodesWithZeroPointsIsThatOfTheF32WeightTheyStandFor) {
  std::mt19937 random(kSeed);
  for (const WeightFormat& format : {kInt4Zeroed32, kInt4Zeroed96, kInt4Zeroed128})
    for (const std::int64_t cols : {32, 96, 256, 544}) {
      const StoredWeight packed = random_weight(random, format, 37, cols, normal_floats);
      const std::vector<float> values = packed.values();
      const WeightMatrix plain{
          .data = reinterpret_cast<const std::byte*>(values.data()), .rows = 37, .cols = cols};
      const std::vector<float> x = normal_floats(random, 19 * cols);
      std::vector<float> x_plain = x;
      for (std::int64_t i = 0; i < 19 * cols; ++i)
        x_plain[static_cast<std::size_t>(i)] =
            x[static_cast<std::size_t>(i / cols * cols + packed.input(i % cols))];
      for (const KernelTable* level : available_levels())
        for (const std::int64_t tokens : {1, 4, 19})
          EXPECT_EQ(run_linear(*level, packed.view, x.data(), tokens),
                    run_linear(*level, plain, x_plain.data(), tokens))
              << level->name << " " << format.name << " cols " << cols << " tokens " << tokens;
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
    for (const float y : run_linear(*level, w, x.data(), 7)) EXPECT_EQ(y, 0.0f);
}

TEST(Linear, ReadsWeightsAtAnyByteOffsetBetweenGuardPages) {
  std::mt19937 random(kSeed);
  for (const WeightFormat& format : kFormats)
    for (const std::int64_t least : {1, 15, 17, 131, 160}) {
      const std::int64_t cols = format.width(least);
      const std::int64_t rows = 1 + random() % 9;
      const StoredWeight w = random_weight(random, format, rows, cols, normal_floats);
      constexpr std::int64_t kMost = 25;  // panels, for every format
      const std::vector<float> x = normal_floats(random, kMost * cols);
      const std::vector<float> want =
          run_linear(*select_level("reference").value(), w.view, x.data(), kMost);
      for (std::size_t offset = 0; offset < 64; ++offset)
        for (const auto edge : {GuardedMemory::Edge::end, GuardedMemory::Edge::start}) {
          const bool start = edge == GuardedMemory::Edge::start;
          // At the end: the last byte touches the guard page wherever the first one lies.
          const GuardedMemory memory(w.bytes.size() + (start ? offset : 0), edge);
          const std::size_t at = start ? offset : 0;
          memory.fill(w.bytes, at);
          const GuardedMemory scales(w.group_scales.size() + (start ? offset : 0), edge);
          scales.fill(w.group_scales, at);
          const GuardedMemory words(w.zeroed_scales.size() * sizeof(std::uint32_t), edge);
          words.fill(std::as_bytes(std::span(w.zeroed_scales)));
          const GuardedMemory order(w.column_order.size() * sizeof(std::int32_t), edge);
          order.fill(std::as_bytes(std::span(w.column_order)));
          const GuardedMemory inputs(x.size() * sizeof(float), edge);
          inputs.fill(std::as_bytes(std::span(x)));
          WeightMatrix view = w.view;
          view.data = memory.data() + at;
          if (view.group_scales != nullptr) view.group_scales = scales.data() + at;
          if (view.zeroed_scales != nullptr)
            view.zeroed_scales = reinterpret_cast<const std::uint32_t*>(words.data());
          if (view.column_order != nullptr)
            view.column_order = reinterpret_cast<const std::int32_t*>(order.data());
          for (const KernelTable* level : available_levels())
            for (const std::int64_t tokens :
                 {std::int64_t{1}, std::int64_t{2}, std::int64_t{5}, kMost}) {
              const std::int64_t first = kMost - tokens;
              const auto* rows_in = reinterpret_cast<const float*>(inputs.data());
              const std::vector<float> y = run_linear(*level, view, rows_in + first * cols, tokens);
              ASSERT_TRUE(same_bits(y.data(), want.data() + first * rows, y.size()))
                  << level->name << " " << format.name << " cols " << cols << " offset " << offset
                  << " tokens " << tokens;
            }
          if (!start && offset > 0) break;
        }
    }
}

TEST(Linear, KeepsItsBitsWhenTheCallerFlushesDenormals) {
  std::mt19937 random(kSeed);
  const StoredWeight w = random_weight(random, kBf16, 40, 64, normal_floats);
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

TEST(Linear, MultipliesBf16ByTheirInstructionWhereItMay) {
  const auto level = select_level("avx512_bf16");
  if (!level) GTEST_SKIP() << "untested here: " << level.error().detail;
  const KernelTable& below = **select_level("avx512_vnni");
  KernelTable by_words = **level;
  by_words.linear = cpu::bf16_linear();
  for (const std::string_view name : {"avx512_bf16", "avx512_amx"}) {
    const auto with_it = select_level(name);
    if (!with_it) continue;
    EXPECT_EQ((*with_it)->linear, cpu::bf16_products_are_fast() ? by_words.linear : below.linear);
  }
  std::mt19937 random(kSeed);
  constexpr std::int64_t kCols = 512;
  for (const WeightFormat& format : {kBf16, kE4m3})
    for (const std::int64_t tokens : {2, 7, 40}) {  // streamed, the last in panels
      const StoredWeight w = random_weight(random, format, 24, kCols, normal_floats);
      for (const bool fitting : {true, false}) {
        std::vector<float> x = normal_floats(random, static_cast<std::size_t>(tokens * kCols));
        for (float& v : x) v = fitting ? round_to_bf16(v) : v;
        // The instruction rounds to nearest whatever the caller has asked for; others do not.
        const unsigned int before = _mm_getcsr();
        _mm_setcsr(before | _MM_ROUND_TOWARD_ZERO);
        const std::vector<float> by_level = run_linear(by_words, w.view, x.data(), tokens);
        const std::vector<float> by_fma = run_linear(below, w.view, x.data(), tokens);
        _mm_setcsr(before);
        EXPECT_EQ(by_level == by_fma, !fitting) << format.name << " rows " << tokens;
      }
    }
}

TEST(Engine, SplitsGroupsOfLinearsWithoutChangingABit) {
  std::mt19937 random(kSeed);
  ComputePool pool({.threads = 3});
  std::vector<StoredWeight> weights;
  for (std::size_t i = 0; i < 2 * kFormats.size(); ++i) {
    const WeightFormat& format = kFormats[i % kFormats.size()];
    const std::int64_t rows = 1 + random() % 700;
    const std::int64_t cols = format.width(1 + random() % 400);
    weights.push_back(random_weight(random, format, rows, cols, normal_floats));
  }
  const std::vector<float> x = normal_floats(random, 20 * 416);
  for (const KernelTable* level : available_levels()) {
    std::vector<std::vector<float>> want;
    std::vector<std::vector<float>> got;
    std::vector<LinearArgs> group;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const std::int64_t tokens = i == 0 ? 20 : static_cast<std::int64_t>(i % 6) - 1 + i / 6;
      want.push_back(run_linear(*level, weights[i].view, x.data(), tokens));
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
  args.w.dtype = DType::i32;
  EXPECT_DEATH(select_level("auto").value()->linear(args, 0, 1), "packed");
  const std::vector<std::uint32_t> words(1);
  const std::vector<std::int32_t> order(8);
  args.w.zeroed_scales = words.data();
  args.w.group_cols = 32;
  EXPECT_DEATH(select_level("auto").value()->linear(args, 0, 1), "whole multiples of 32");
  args.w.zeroed_scales = nullptr;
  args.w.group_scales = bytes.data();
  args.w.column_order = order.data();
  EXPECT_DEATH(select_level("auto").value()->linear(args, 0, 1), "another order");
  args.w.group_scales = nullptr;
  args.w.column_order = nullptr;
  args.w.dtype = DType::i8;
  args.w.scales = args.x_scales = x.data();
  EXPECT_DEATH(select_level("auto").value()->linear(args, 0, 1), "e4m3 weight");
}

}  // namespace
}  // namespace troupe::kernels
