// Cases of `troupe bench kernels`: names, what they count, that they run, how they are written.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "model/config/json_value.hpp"
#include "services/bench/kernel_report.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

KernelCase only_case(std::string_view name) {
  const auto found = kernel_cases(name);
  EXPECT_FALSE(found.empty()) << name;
  const auto exact =
      std::find_if(found.begin(), found.end(), [&](const auto& one) { return one.name() == name; });
  EXPECT_NE(exact, found.end()) << name;
  return exact == found.end() ? KernelCase{} : *exact;
}

const kernels::KernelTable* fastest() { return *kernels::select_level("auto"); }

struct Counted {
  double bytes, flops, block_flops;
  bool from_memory;
};
Counted counted(std::string_view name) {
  const auto engine = BenchEngine::make(fastest(), 1);
  auto pool = WeightPool::make(64 * kMiB);
  const PreparedKernel made = prepare_kernel(only_case(name), engine->engine(), *pool);
  return {made.bytes, made.flops, made.block_flops, made.from_memory};
}

TEST(KernelCases, EveryNameIsThereOnce) {
  const auto all = kernel_cases("");
  std::set<std::string> names;
  for (const KernelCase& one : all) names.insert(one.name());
  EXPECT_EQ(names.size(), all.size());
  // Three presets and 8 row counts of 6 linears in 13 formats and the head in 3; experts in 12,
  // spread and one alone, and the dense FFN; W_UK and W_UV in 3, attention and cache in 2; the
  // gate, 5 without weights, embed and combine.
  EXPECT_EQ(all.size(), 3u * 8 * (6 * 13 + 3 + 3 * 12 + 3 + 2 * 2 + 1 + 5 + 2));
}

TEST(KernelCases, TheFilterLooksIntoTheWholeName) {
  for (const KernelCase& one : kernel_cases("kimi-k2/experts"))
    EXPECT_TRUE(one.name().starts_with("kimi-k2/experts/")) << one.name();
  EXPECT_EQ(kernel_cases("kimi-k2/experts").size(), 192u);  // spread, and on one expert
  EXPECT_EQ(kernel_cases("linear/q_b/fp8/8").size(), 3u);
  EXPECT_TRUE(kernel_cases("zeppelin").empty());
}

TEST(KernelCases, LinearsHaveTheModelsShapes) {
  const KernelCase up = only_case("deepseek-v3/linear/expert up/fp8/1");
  EXPECT_EQ(up.features, 2048);
  EXPECT_EQ(up.inputs, 7168);
  const KernelCase q_b = only_case("kimi-k2/linear/q_b/bf16/1");
  EXPECT_EQ(q_b.features, 64 * 192);
  EXPECT_EQ(q_b.inputs, 1536);
  EXPECT_EQ(largest_piece_bytes(q_b), 2 * 64 * 192 * 1536);
  EXPECT_EQ(largest_piece_bytes(only_case("deepseek-v3/dense_ffn/fp8/1")), 18432 * 7168);
  EXPECT_EQ(largest_piece_bytes(only_case("kimi-k2/dense_ffn/bf16/1")), 2 * 18432 * 7168);
  EXPECT_EQ(largest_piece_bytes(only_case("kimi-k2/linear/q_b/int4/1")), 64 * 192 * 1536 / 2);
}

TEST(KernelCounts, ALinearReadsItsWeightWithScalesOnce) {
  const Counted eight = counted("bench-1b/linear/expert up/fp8/8");
  EXPECT_EQ(eight.bytes, 512 * 1024 + 4 * 8 * 4);  // 4 x 8 blocks
  EXPECT_EQ(eight.flops, 2.0 * 8 * 512 * 1024);
  EXPECT_TRUE(eight.from_memory);
  EXPECT_EQ(counted("bench-1b/linear/expert up/f32/1").bytes, 512 * 1024 * 4);
  EXPECT_EQ(counted("bench-1b/linear/expert up/int8/1").bytes, eight.bytes);
  EXPECT_EQ(counted("bench-1b/linear/expert up/int4/1").bytes, 512 * (1024 / 2 + 1024 / 32 * 2));
}

TEST(KernelCounts, AScalePerChannelIsReadInsteadOfOnePerBlock) {
  for (const char* format : {"int8-channel", "w8a8-channel"})
    EXPECT_EQ(counted("bench-1b/linear/expert up/" + std::string(format) + "/8").bytes,
              512 * 1024 + 4 * 512)
        << format;
}

TEST(KernelCounts, BlocksOfScalesTakeAMultiplyAddALaneWhereTheyAreSummedAsF32) {
  const auto blocks = [](const std::string& format) {
    return counted("bench-1b/linear/expert up/" + format + "/8").block_flops;
  };
  const double eighth = 2.0 * 8 * 512 * 1024 / 8;  // 16 lanes of 128 columns
  for (const char* format : {"fp8", "fp8-act", "int8"}) EXPECT_EQ(blocks(format), eighth) << format;
  for (const char* format : {"bf16", "f32", "int8-channel", "w8a8", "int4", "w4a8", "fp8-tiles"})
    EXPECT_EQ(blocks(format), 0) << format;
  EXPECT_EQ(counted("bench-1b/experts/fp8/128").block_flops, 2.0 * 128 * 6 * 3 * 512 * 1024 / 8);
}

TEST(KernelCounts, ADenseFfnIsReadOnceByAllRows) {
  const Counted four = counted("bench-1b/dense_ffn/bf16/4");
  EXPECT_EQ(four.bytes, 3.0 * 4096 * 1024 * 2);
  EXPECT_EQ(four.flops, 2.0 * 4 * 3 * 4096 * 1024);
  EXPECT_TRUE(four.from_memory);
}

TEST(KernelCounts, ExpertsAreReadOnceHoweverManyRowsTheyHave) {
  EXPECT_EQ(counted("bench-1b/experts/bf16/1").bytes, 6.0 * 3 * 512 * 1024 * 2);
  EXPECT_EQ(counted("bench-1b/experts/bf16/128").bytes, 64.0 * 3 * 512 * 1024 * 2);
  EXPECT_EQ(counted("bench-1b/experts/bf16/128").flops, 2.0 * 128 * 6 * 3 * 512 * 1024);
}

TEST(KernelCounts, AttentionGoesOverItsKeys) {
  const Counted decode = counted("bench-1b/attention/4096 keys/bf16/8");
  EXPECT_EQ(decode.bytes, 8.0 * 4096 * 576 * 2);
  EXPECT_EQ(decode.flops, 2.0 * 8 * 16 * 4096 * (576 + 512));
  const Counted fp8 = counted("bench-1b/attention/4096 keys/fp8/8");
  EXPECT_EQ(fp8.bytes, 8.0 * 4096 * 656);
  EXPECT_EQ(fp8.flops, decode.flops);
  const Counted prompt = counted("bench-1b/attention/prompt/bf16/128");
  EXPECT_EQ(prompt.bytes, 128.0 * 576 * 2);
  EXPECT_EQ(prompt.flops, 2.0 * 16 * (128 * 129 / 2) * (576 + 512));
}

TEST(KernelCounts, RowWiseOperationsTouchCachedRows) {
  const Counted norm = counted("bench-1b/rms_norm/f32/8");
  EXPECT_EQ(norm.bytes, 2.0 * 8 * 1024 * 4);
  EXPECT_EQ(norm.flops, 0);
  EXPECT_FALSE(norm.from_memory);
  EXPECT_EQ(counted("bench-1b/swiglu/f32/8").bytes, 3.0 * 8 * 512 * 4);
  EXPECT_EQ(counted("bench-1b/quantise/f32/8").bytes, 8.0 * 1024 * (4 + 4));
  EXPECT_EQ(counted("bench-1b/quantise_int8/f32/8").bytes, 8.0 * 1024 * (4 + 1));
  EXPECT_EQ(counted("bench-1b/combine/bf16/8").bytes, 8.0 * (6 + 1) * 1024 * 2);
  EXPECT_FALSE(counted("bench-1b/combine/bf16/8").from_memory);
}

TEST(KernelCounts, EmbeddingRowsComeFromMemory) {
  const Counted eight = counted("bench-1b/embed/bf16/8");
  EXPECT_EQ(eight.bytes, 8.0 * 1024 * 2);
  EXPECT_TRUE(eight.from_memory);
}

/// What one run of a case asks of its kernels.
struct Asked {
  std::int64_t e4m3_rows = 0, int8_rows = 0;  // quantised
  std::int64_t unpacked = 0, added = 0;       // rows of BF16, and those added to sums
  bool operator==(const Asked&) const = default;
};

Asked asked_by(std::string_view name) {
  static Asked asked;
  asked = {};
  kernels::KernelTable table = *fastest();
  table.quantise = [](const auto& args, std::int64_t begin, std::int64_t end) {
    asked.e4m3_rows += end - begin;
    fastest()->quantise(args, begin, end);
  };
  table.quantise_int8 = [](const auto& args, std::int64_t begin, std::int64_t end) {
    asked.int8_rows += end - begin;
    fastest()->quantise_int8(args, begin, end);
  };
  table.unpack_bf16 = [](auto... args) {
    ++asked.unpacked;
    fastest()->unpack_bf16(args...);
  };
  table.axpy = [](auto... args) {
    ++asked.added;
    fastest()->axpy(args...);
  };
  const auto engine = BenchEngine::make(&table, 1);
  auto pool = WeightPool::make(64 * kMiB);
  prepare_kernel(only_case(name), engine->engine(), *pool).once();
  return asked;
}

TEST(KernelRuns, RowsAreQuantisedWhereTheFormatSaysSo) {
  for (const char* format : {"fp8", "int8", "int8-channel", "int4", "awq", "bf16"})
    EXPECT_EQ(asked_by("bench-1b/linear/q_b/" + std::string(format) + "/8"), Asked{}) << format;
  EXPECT_EQ(asked_by("bench-1b/linear/q_b/fp8-act/8"), Asked{.e4m3_rows = 8});
  for (const char* format : {"w8a8", "w8a8-channel", "w4a8"})
    EXPECT_EQ(asked_by("bench-1b/linear/q_b/" + std::string(format) + "/8"), Asked{.int8_rows = 8})
        << format;
  // Of each pair what goes in and what goes down; of a dense FFN, of each row.
  EXPECT_EQ(asked_by("bench-1b/experts/fp8-act/8"), Asked{.e4m3_rows = 2 * 8 * 6});
  EXPECT_EQ(asked_by("bench-1b/dense_ffn/fp8-act/4"), Asked{.e4m3_rows = 2 * 4});
  EXPECT_EQ(asked_by("bench-1b/dense_ffn/w8a8/2"), Asked{.int8_rows = 2 * 2});
  EXPECT_EQ(asked_by("bench-1b/quantise/f32/4"), Asked{.e4m3_rows = 4});
  EXPECT_EQ(asked_by("bench-1b/quantise_int8/f32/4"), Asked{.int8_rows = 4});
}

TEST(KernelRuns, EveryRowIsLookedUpAndEveryReplyAdded) {
  EXPECT_EQ(asked_by("bench-1b/embed/bf16/8"), Asked{.unpacked = 8});
  EXPECT_EQ(asked_by("bench-1b/combine/bf16/8"), (Asked{.unpacked = 8 * 6, .added = 8 * 6}));
}

TEST(KernelRuns, EveryOperationRunsWithOneAndTwoThreads) {
  auto pool = WeightPool::make(64 * kMiB);
  for (const int threads : {1, 2}) {
    const auto engine = BenchEngine::make(fastest(), threads);
    for (const KernelCase& one : kernel_cases("bench-1b/")) {
      if (one.rows > 8) continue;
      const auto result = measure_kernel(one, engine->engine(), *pool, {0, [] { return false; }});
      ASSERT_TRUE(result) << one.name();
      EXPECT_EQ(result->runs, 1) << one.name();
      EXPECT_GT(result->seconds, 0) << one.name();
      EXPECT_GT(result->gb_per_s(), 0) << one.name();
    }
  }
}

TEST(KernelRuns, AreRepeatedUntilTheyAreStopped) {
  auto pool = WeightPool::make(kMiB);
  const auto engine = BenchEngine::make(fastest(), 1);
  int asked = 0;
  const auto result = measure_kernel(only_case("bench-1b/rms_norm/f32/1"), engine->engine(), *pool,
                                     {1e9, [&] { return ++asked > 3; }});
  EXPECT_FALSE(result);
  EXPECT_EQ(asked, 4);
}

TEST(WeightPool, GoesThroughAllBytesBeforeItBeginsAgain) {
  auto pool = WeightPool::make(4 * kMiB);
  const std::byte* first = pool->next(kMiB);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(pool->next(kMiB), first + i * kMiB);
  EXPECT_EQ(pool->next(kMiB), first);
  EXPECT_EQ(pool->next(4 * kMiB), first);  // does not fit behind
  const auto matrix = pool->matrix(DType::f8_e4m3, 512, 1024);
  EXPECT_EQ(matrix.data, first);
  EXPECT_NE(matrix.scales, nullptr);
  EXPECT_EQ(pool->matrix(DType::bf16, 256, 1024).scales, nullptr);
  const auto int4 = pool->matrix(DType::i32, 512, 1024);
  EXPECT_EQ(int4.scales, nullptr);
  EXPECT_EQ(int4.group_scales, int4.data + 512 * 512);
}

TEST(WeightPool, GoesThroughScalesWithZeroPointsAsThroughCodes) {
  auto pool = WeightPool::make(kMiB);
  const auto first = pool->zeroed_matrix(512, 1024);  // a quarter of the codes
  EXPECT_EQ(first.group_cols, kZeroedGroup);
  EXPECT_EQ(kernels::zero_point_of(*first.zeroed_scales), 8);
  EXPECT_EQ(pool->zeroed_matrix(512, 1024).zeroed_scales, first.zeroed_scales + 512 * 8);
  for (int i = 0; i < 2; ++i) pool->zeroed_matrix(512, 1024);
  EXPECT_EQ(pool->zeroed_matrix(512, 1024).zeroed_scales, first.zeroed_scales);
}

TEST(WeightPool, HasMatricesWithAScalePerChannel) {
  auto pool = WeightPool::make(kMiB);
  const auto matrix = pool->channel_matrix(512, 1024);
  EXPECT_EQ(matrix.dtype, DType::i8);
  EXPECT_EQ(matrix.scale_shape, kernels::ScaleShape::row);
  EXPECT_NE(matrix.scales, nullptr);
}

TEST(WeightPool, HoldsNumbersInEveryDtype) {
  auto pool = WeightPool::make(2 * kMiB);
  const std::byte* bytes = pool->next(2 * kMiB);
  for (std::int64_t i = 0; i < 2 * kMiB; i += 4) {
    ASSERT_FALSE(is_e4m3_nan(static_cast<std::uint8_t>(bytes[i]))) << i;
    float f32 = 0;
    std::memcpy(&f32, bytes + i, sizeof f32);
    ASSERT_LT(std::abs(f32), 4) << i;  // neither infinite nor NaN
  }
}

TEST(WeightPool, SaysWhenMemoryCannotBeHad) {
  const auto pool = WeightPool::make(std::int64_t{1} << 60);
  ASSERT_FALSE(pool);
  EXPECT_EQ(pool.error().code, Errc::resource_exhausted);
  EXPECT_NE(pool.error().detail.find("--filter"), std::string::npos);
}

TEST(KernelReport, ALineHasRatesAndShares) {
  MachineLimits limits{2, "avx2", 40, 200, 200, 400};
  const KernelResult linear{.what = only_case("deepseek-v3/linear/q_b/fp8/8"),
                            .seconds = 0.002,
                            .runs = 7,
                            .bytes = 40e6,
                            .flops = 100e6,
                            .from_memory = true};
  EXPECT_EQ(kernel_table_line(linear, limits),
            "deepseek-v3 linear        q_b         fp8             8      2000.0    20.00    50%"
            "      50.0    25%\n");
  KernelResult int8_rows = linear;
  int8_rows.what = only_case("deepseek-v3/linear/q_b/w4a8/8");
  EXPECT_EQ(kernel_table_line(int8_rows, limits),
            "deepseek-v3 linear        q_b         w4a8            8      2000.0    20.00    50%"
            "      50.0    12%\n");
  KernelResult channel = linear;
  channel.what = only_case("deepseek-v3/linear/q_b/w8a8-channel/8");
  EXPECT_EQ(kernel_table_line(channel, limits),
            "deepseek-v3 linear        q_b         w8a8-channel    8      2000.0    20.00    50%"
            "      50.0    12%\n");
  KernelResult norm = linear;
  norm.what = only_case("deepseek-v3/rms_norm/f32/1");
  norm.flops = 0;
  norm.from_memory = false;
  EXPECT_EQ(kernel_table_line(norm, limits),
            "deepseek-v3 rms_norm                  f32             1      2000.0    20.00      -"
            "         -      -\n");
  KernelResult blocks = linear;
  blocks.block_flops = 40e6;  // 20 GFLOP/s of 200
  EXPECT_EQ(kernel_table_line(blocks, limits),
            "deepseek-v3 linear        q_b         fp8             8      2000.0    20.00    50%"
            "      50.0    35%\n");
  limits.bf16_gflops = 400;
  EXPECT_NE(kernel_table_line(blocks, limits).find(" 22%\n"), std::string::npos);
  EXPECT_NE(kernel_table_line(linear, limits).find(" 12%\n"), std::string::npos);
  limits.tile_gflops = 500;
  KernelResult tiles = linear;
  tiles.what = only_case("deepseek-v3/linear/q_b/fp8-tiles/8");
  EXPECT_NE(kernel_table_line(tiles, limits).find(" 10%\n"), std::string::npos);
}

TEST(KernelReport, JsonHasTheLimitsAndNullForWhatHasNoShare) {
  const KernelRun run{{2, "avx512_bf16", 40, 200, 250, 400}, 256 * kMiB, 32 * kMiB};
  KernelResult norm{
      .what = only_case("bench-1b/rms_norm/f32/1"), .seconds = 0.5, .runs = 1, .bytes = 1e9};
  KernelResult linear = norm;
  linear.what = only_case("bench-1b/linear/o/bf16/1");
  linear.flops = 10e9;
  linear.from_memory = true;
  KernelResult int8 = linear;
  int8.what = only_case("bench-1b/linear/o/int8/1");
  int8.block_flops = 2e9;
  KernelResult int8_rows = linear;
  int8_rows.what = only_case("bench-1b/dense_ffn/w8a8/1");
  const auto json = model::parse_json(kernels_json(run, {norm, linear, int8, int8_rows}));
  ASSERT_TRUE(json) << json.error().detail;
  EXPECT_EQ(json->find("threads")->integer(), 2);
  EXPECT_EQ(json->find("read_gb_per_s")->number(), 40);
  const auto& results = *json->find("results")->array();
  ASSERT_EQ(results.size(), 4u);
  for (const char* share : {"read_share", "fma_share", "bf16_share", "int8_share", "peak_share"})
    EXPECT_TRUE(results[0].find(share)->is_null()) << share;
  EXPECT_EQ(*results[1].find("name")->string(), "bench-1b/linear/o/bf16/1");
  EXPECT_DOUBLE_EQ(*results[1].find("read_share")->number(), 2.0 / 40);
  EXPECT_DOUBLE_EQ(*results[1].find("fma_share")->number(), 20.0 / 200);
  EXPECT_DOUBLE_EQ(*results[1].find("bf16_share")->number(), 20.0 / 250);
  EXPECT_DOUBLE_EQ(*results[1].find("peak_share")->number(), 20.0 / 250);
  EXPECT_TRUE(results[2].find("bf16_share")->is_null());
  EXPECT_DOUBLE_EQ(*results[2].find("peak_share")->number(), 24.0 / 200);
  EXPECT_DOUBLE_EQ(*results[2].find("block_flops")->number(), 2e9);
  EXPECT_DOUBLE_EQ(*results[2].find("fma_share")->number(), 24.0 / 200);
  EXPECT_TRUE(results[3].find("bf16_share")->is_null());
  EXPECT_DOUBLE_EQ(*results[3].find("peak_share")->number(), 20.0 / 400);
}

}  // namespace
}  // namespace troupe::services
