// Bytes and operations of a step against figures worked out by hand.
#include "model/step_work.hpp"

#include <gtest/gtest.h>

#include <string>

#include "model/checkpoint/cast.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "tests/support/source_dir.hpp"
#include "tests/support/temp_dir.hpp"

namespace troupe::model {
namespace {

/// bench-1b of make_model.py.
ModelConfig bench_1b() {
  ModelConfig c;
  c.hidden_size = 1024;
  c.num_layers = 12;
  c.num_heads = 16;
  c.q_lora_rank = 512;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.v_head_dim = 128;
  c.intermediate_size = 4096;
  c.moe_intermediate_size = 512;
  c.routed_experts = 64;
  c.shared_experts = 1;
  c.experts_per_token = 6;
  c.first_k_dense = 1;
  c.vocab_size = 32000;
  return c;
}

// One layer of bench-1b, in values.
constexpr double kProjections = 1024 * 512          // q_a
                                + 512 * 16 * 192    // q_b
                                + 1024 * 576        // kv_a
                                + 16 * 128 * 1024;  // o
constexpr double kAbsorbed = 16 * (128 + 128) * 512;
constexpr double kDense = 3 * 1024 * 4096;
constexpr double kExpert = 3 * 1024 * 512;
constexpr double kGate = 1024 * 64;
constexpr double kHead = 1024 * 32000;

TEST(StepWork, CountsTheParametersOfBench1b) {
  const ParameterCounts counts = parameter_counts(bench_1b());
  // 32768000 + 12 * (4784128 + 2097152) + 12582912 + 11 * (7 * 1572864 + 65536)
  EXPECT_EQ(counts.per_token, 249757696);
  // 58 more experts in each of 11 layers, and the embedding.
  EXPECT_EQ(counts.total, 249757696.0 + 11.0 * 58 * 1572864 + 32768000);
}

TEST(StepWork, OneTokenReadsItsExpertsOnly) {
  const Work work = generation_work(bench_1b(), {}, {.sequences = 1, .tokens = 1});
  EXPECT_NEAR(work.weight_bytes, 2 * 249757696.0, 1);
  EXPECT_EQ(work.cache_bytes, 12 * 576 * 2);
  // Attention over one key: 16 heads * (576 + 512) in each of 12 layers.
  EXPECT_EQ(work.flops, 2 * (249757696.0 + 12 * 16 * (576 + 512)));
}

TEST(StepWork, BytesFollowHowEachKindIsStored) {
  const ValueBytes bytes{
      .attention = 1, .absorbed = 2, .dense = 1, .experts = 0.5, .gate = 4, .head = 2, .cache = 4};
  const Work work = generation_work(bench_1b(), bytes, {.sequences = 1, .tokens = 1});
  const double expected = 12 * (kProjections + 2 * kAbsorbed) + kDense +
                          11 * (kExpert + 6 * kExpert * 0.5 + 4 * kGate) + 2 * kHead;
  EXPECT_NEAR(work.weight_bytes, expected, 1);
  EXPECT_EQ(work.cache_bytes, 12 * 576 * 4);
}

TEST(StepWork, MoreRowsUseMoreExpertsButEachOnce) {
  EXPECT_NEAR(experts_used(bench_1b(), 1), 6, 1e-9);
  // 64 * (1 - (58/64)^2) = 64 - 3364/64
  EXPECT_NEAR(experts_used(bench_1b(), 2), 64 - 3364.0 / 64, 1e-9);
  EXPECT_NEAR(experts_used(bench_1b(), 4096), 64, 1e-9);
  ModelConfig dense = bench_1b();
  dense.routed_experts = dense.experts_per_token = 0;
  EXPECT_EQ(experts_used(dense, 8), 0);
}

TEST(StepWork, SequencesOfAStepShareItsWeightsButNotTheirCache) {
  const Work one = generation_work(bench_1b(), {}, {.sequences = 1, .tokens = 3});
  const Work two = generation_work(bench_1b(), {}, {.sequences = 2, .tokens = 3});
  // Three steps; the second sequence adds experts only.
  const double more_experts = experts_used(bench_1b(), 2) - 6;
  EXPECT_NEAR(two.weight_bytes - one.weight_bytes, 3 * 11 * more_experts * kExpert * 2, 1);
  EXPECT_EQ(one.cache_bytes, (1 + 2 + 3) * 12 * 576 * 2);
  EXPECT_EQ(two.cache_bytes, 2 * one.cache_bytes);
  EXPECT_EQ(two.flops, 2 * one.flops);
}

TEST(StepWork, APromptReadsWeightsOncePerStepAndComputesNoLogits) {
  const ModelConfig config = bench_1b();
  const Work whole = prompt_work(config, {}, {.tokens = 512, .step_rows = 512});
  const Work halves = prompt_work(config, {}, {.tokens = 512, .step_rows = 256});
  // Every key is seen by the rows behind it: 512 * 513 / 2 pairs.
  // Of the last layer only kv_a, [576, 1024].
  const double last = 576 * 1024 - (kProjections + kAbsorbed + 7 * kExpert + kGate);
  const double macs = 512 * (249757696.0 - kHead + last) + 512 * 513 / 2 * 11.0 * 16 * (576 + 512);
  EXPECT_EQ(whole.flops, 2 * macs);
  EXPECT_EQ(halves.flops, whole.flops);
  // By 256 rows all 64 experts are in use: (58/64)^256 is below 1e-10.
  EXPECT_NEAR(halves.weight_bytes / whole.weight_bytes, 2, 1e-6);
  EXPECT_EQ(whole.cache_bytes, 512 * 11 * 576 * 2);
  EXPECT_EQ(halves.cache_bytes, (256 + 512) * 11 * 576 * 2);
}

TEST(StepWork, SequencesOfAPromptTestFillStepsTogether) {
  const Work work = prompt_work(bench_1b(), {}, {.sequences = 8, .tokens = 32, .step_rows = 256});
  const Work one = prompt_work(bench_1b(), {}, {.sequences = 1, .tokens = 256, .step_rows = 256});
  EXPECT_EQ(work.weight_bytes, one.weight_bytes);
  EXPECT_LT(work.flops, one.flops);  // fewer keys
}

TEST(StepWork, RowsBehindADepthReadItAndComputeWithIt) {
  const Work shallow = generation_work(bench_1b(), {}, {.sequences = 2, .tokens = 3});
  const Work deep = generation_work(bench_1b(), {}, {.sequences = 2, .tokens = 3, .depth = 8192});
  EXPECT_EQ(deep.weight_bytes, shallow.weight_bytes);
  EXPECT_EQ(deep.cache_bytes - shallow.cache_bytes, 2.0 * 3 * 8192 * 12 * 576 * 2);
  EXPECT_EQ(deep.flops - shallow.flops, 2 * 2.0 * 3 * 8192 * 12 * 16 * (576 + 512));
  const Work prompt = prompt_work(bench_1b(), {}, {.tokens = 512, .step_rows = 256, .depth = 1024});
  EXPECT_EQ(prompt.cache_bytes, (1024 + 256 + 1024 + 512) * 11 * 576 * 2);
  // The prompt's second half is a prompt of 256 behind a depth of 256.
  const auto flops = [](std::int64_t tokens, std::int64_t depth) {
    return prompt_work(bench_1b(), {}, {.tokens = tokens, .step_rows = 256, .depth = depth}).flops;
  };
  EXPECT_EQ(flops(256, 0) + flops(256, 256), flops(512, 0));
}

TEST(StepWork, NothingAskedIsNothing) {
  EXPECT_EQ(prompt_work(bench_1b(), {}, {.tokens = 0}).bytes(), 0);
  EXPECT_EQ(generation_work(bench_1b(), {}, {.tokens = 0}).flops, 0);
}

TEST(StepWork, BytesOfAValueComeFromTheCheckpoint) {
  const auto tiny = Checkpoint::open(std::string(kSourceDir) + "/examples/troupe-tiny");
  ASSERT_TRUE(tiny) << tiny.error().detail;
  const ValueBytes bytes = value_bytes_of(*tiny, {ActivationMode::bf16});
  // One F32 scale for every 128 x 128 block: o_proj [256, 256] has 4, gate_proj [640, 256] has 10,
  // that of an expert [128, 256] has 2.
  EXPECT_DOUBLE_EQ(bytes.attention, 1 + 4 * 4 / (256.0 * 256));
  EXPECT_DOUBLE_EQ(bytes.dense, 1 + 10 * 4 / (640.0 * 256));
  EXPECT_DOUBLE_EQ(bytes.experts, 1 + 2 * 4 / (128.0 * 256));
  EXPECT_EQ(bytes.gate, 2);
  EXPECT_EQ(bytes.head, 2);
  EXPECT_EQ(bytes.absorbed, 2);
  EXPECT_EQ(bytes.cache, 2);
  const ValueBytes wide = value_bytes_of(*tiny, {ActivationMode::f32});
  EXPECT_EQ(wide.absorbed, 4);
  EXPECT_EQ(wide.cache, 4);
  // 128 codes, one scale, 32 BF16.
  const ValueBytes fp8 = value_bytes_of(*tiny, {ActivationMode::f32, KvCache::fp8});
  EXPECT_DOUBLE_EQ(fp8.cache, (128 + 4 + 2 * 32) / (128.0 + 32));
  EXPECT_EQ(fp8.absorbed, 4);
}

ValueBytes bytes_when_quantised(WeightFormat to) {
  const testing::TempDir dir;
  const auto report =
      cast_checkpoint(std::string(kSourceDir) + "/examples/troupe-tiny", dir / "out", {.to = to});
  EXPECT_TRUE(report) << report.error().detail;
  const auto checkpoint = Checkpoint::open(dir / "out");
  EXPECT_TRUE(checkpoint) << checkpoint.error().detail;
  return value_bytes_of(*checkpoint, {ActivationMode::f32});
}

TEST(StepWork, BytesOfAValueOfInt8AndInt4) {
  const ValueBytes blocks = bytes_when_quantised(WeightFormat::int8_blocks);
  EXPECT_DOUBLE_EQ(blocks.attention, 1 + 4 * 4 / (256.0 * 256));
  EXPECT_DOUBLE_EQ(blocks.experts, 1 + 2 * 4 / (128.0 * 256));
  EXPECT_EQ(blocks.absorbed, 4);
  const ValueBytes channel = bytes_when_quantised(WeightFormat::int8_channel);
  EXPECT_DOUBLE_EQ(channel.attention, 1 + 4 / 256.0);  // one F32 for each row of 256
  EXPECT_DOUBLE_EQ(channel.experts, 1 + 4 / 256.0);
  EXPECT_EQ(channel.absorbed, 4);
  const ValueBytes int4 = bytes_when_quantised(WeightFormat::int4_groups);
  EXPECT_EQ(int4.experts, 0.5 + 2 / 32.0);
  EXPECT_EQ(int4.attention, 2);  // experts alone are INT4
  EXPECT_EQ(int4.absorbed, 2);
}

}  // namespace
}  // namespace troupe::model
