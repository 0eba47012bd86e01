// Copies made at load: what they hold, what they refuse, what a step is said to read of them.
#include "model/derived_matrix.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "model/attention_model.hpp"
#include "model/checkpoint/cast.hpp"
#include "model/checkpoint/dequantise.hpp"
#include "model/latent_attention.hpp"
#include "model/step_work.hpp"
#include "tests/support/mapped_pages.hpp"
#include "tests/support/source_dir.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

constexpr Numerics kInt8{ActivationMode::int8_act};
constexpr Numerics kBf16{ActivationMode::bf16};

class DerivedWeights : public ::testing::Test {
 protected:
  /// The tiny model quantised.
  Checkpoint quantised(WeightFormat to) {
    testing::TinyCheckpoint(false).write(dir_ / "in");
    const auto report = cast_checkpoint(dir_ / "in", dir_ / "out", {.to = to});
    EXPECT_TRUE(report) << report.error().detail;
    auto checkpoint = Checkpoint::open(dir_ / "out");
    EXPECT_TRUE(checkpoint) << checkpoint.error().detail;
    return *std::move(checkpoint);
  }

  testing::TempDir dir_;
  kernels::ComputePool pool_{{2, 16}};
  const kernels::Engine engine_{*kernels::select_level("auto"), &pool_};
};

std::vector<float> row_of(const kernels::WeightMatrix& w, std::int64_t row) {
  std::vector<float> values(static_cast<std::size_t>(w.cols));
  dequantise_row(w, row, values);
  return values;
}

/// Every value of `got` is at most half a step, a 254th of the row's largest, from `want`.
void expect_rounded_to_int8(const std::vector<float>& got, const std::vector<float>& want) {
  float largest = 0;
  for (const float value : want) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(got[i], want[i], largest / 254 * 1.0001f) << i;
}

TEST_F(DerivedWeights, Int8RowsHaveAScaleOfTheirOwn) {
  std::vector<float> values(5 * 40);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = std::sin(static_cast<float>(i)) * std::ldexp(1.0f, static_cast<int>(i / 40) * 9);
  const kernels::WeightMatrix stored{reinterpret_cast<const std::byte*>(values.data()), DType::f32,
                                     5, 40};
  const auto derived = int8_rows_of(stored, engine_);
  ASSERT_TRUE(derived) << derived.error().detail;
  EXPECT_EQ(derived->view().dtype, DType::i8);
  EXPECT_EQ(derived->bytes(), 5 * 40 + 5 * 4);
  for (std::int64_t row = 0; row < 5; ++row)
    expect_rounded_to_int8(row_of(derived->view(), row), row_of(stored, row));
  values[77] = std::numeric_limits<float>::infinity();
  const auto refused = int8_rows_of(stored, engine_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::malformed);
}

TEST_F(DerivedWeights, PartsTakeTheirScalesAlong) {
  std::array<std::byte, 256 * 130> codes{};
  std::array<float, 256> scales{};
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<float>(i + 1);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::byte>(i % 100);
  for (const auto shape : {kernels::ScaleShape::row, kernels::ScaleShape::block}) {
    const kernels::WeightMatrix whole{codes.data(), DType::i8, 256, 130, scales.data(), shape};
    const kernels::WeightMatrix part = rows_of(whole, 128, 70);
    EXPECT_EQ(part.rows, 70);
    for (const std::int64_t row : {0, 69}) EXPECT_EQ(row_of(part, row), row_of(whole, 128 + row));
  }
}

TEST_F(DerivedWeights, AbsorbedWeightsAreKvBHeadByHead) {
  const Checkpoint checkpoint = quantised(WeightFormat::int8_blocks);
  const ModelConfig& config = checkpoint.config();
  const std::int64_t head_rows = config.qk_nope_head_dim + config.v_head_dim;
  for (const Numerics& numerics : {kInt8, kBf16}) {
    WeightLoader loader(checkpoint, engine_, nullptr);
    auto w = load_latent_attention(loader, config, "model.layers.0.self_attn.");
    loader.scan();
    ASSERT_FALSE(loader.error());
    const auto derived = derive_absorbed(w, config, numerics, engine_);
    ASSERT_TRUE(derived) << derived.error().detail;
    const bool int8 = numerics.quantises_to_int8();
    EXPECT_EQ(w.w_uk.view().dtype, int8 ? DType::i8 : DType::bf16);
    const auto expect_row = [&](const kernels::WeightMatrix& got, std::int64_t row,
                                std::vector<float> want) {
      if (int8) return expect_rounded_to_int8(row_of(got, row), want);
      for (float& value : want) value = round_to_bf16(value);
      EXPECT_EQ(row_of(got, row), want);
    };
    for (std::int64_t h = 0; h < config.num_heads; ++h) {
      for (std::int64_t c = 0; c < config.kv_lora_rank; ++c) {
        std::vector<float> column;
        for (std::int64_t r = 0; r < config.qk_nope_head_dim; ++r)
          column.push_back(row_of(w.kv_b, h * head_rows + r)[static_cast<std::size_t>(c)]);
        expect_row(w.w_uk.view(), h * config.kv_lora_rank + c, column);
      }
      for (std::int64_t r = 0; r < config.v_head_dim; ++r)
        expect_row(w.w_uv.view(), h * config.v_head_dim + r,
                   row_of(w.kv_b, h * head_rows + config.qk_nope_head_dim + r));
    }
  }
}

// The scan at load looks at codes and scales one by one; what they multiply to is met here.
TEST_F(DerivedWeights, CodesTimesScalesPastF32AreRefused) {
  const Checkpoint checkpoint = quantised(WeightFormat::int8_channel);
  const ModelConfig& config = checkpoint.config();
  WeightLoader loader(checkpoint, engine_, nullptr);
  auto w = load_latent_attention(loader, config, "model.layers.0.self_attn.");
  loader.scan();
  ASSERT_FALSE(loader.error());
  const std::vector<float> scales(static_cast<std::size_t>(w.kv_b.rows), 3e38f);
  w.kv_b.scales = scales.data();
  const auto refused = derive_absorbed(w, config, kInt8, engine_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::malformed);
}

TEST_F(DerivedWeights, AStepReadsWhatIsKept) {
  const Checkpoint checkpoint = quantised(WeightFormat::int8_channel);
  const ValueBytes int8 = value_bytes_of(checkpoint, kInt8);
  EXPECT_DOUBLE_EQ(int8.head, 1 + 4 / 160.0);
  EXPECT_DOUBLE_EQ(int8.absorbed, 1 + (4 / 32.0 + 4 / 128.0) / 2);
  const ValueBytes bf16 = value_bytes_of(checkpoint, kBf16);
  EXPECT_EQ(bf16.head, 2);
  EXPECT_EQ(bf16.absorbed, 2);
  const auto loaded = AttentionModel::load(checkpoint, kInt8, engine_);
  ASSERT_TRUE(loaded) << loaded.error().detail;
  const double absorbed = 2.0 * 2 * (32 + 32) * 128 * int8.absorbed;  // layers, heads
  EXPECT_EQ(static_cast<double>(loaded->derived_bytes()), absorbed + 64 * 160 * int8.head);
}

TEST_F(DerivedWeights, AStepMultipliesAsTheModeSays) {
  const Checkpoint checkpoint = quantised(WeightFormat::int8_channel);
  const Arithmetic int8 = arithmetic_of(checkpoint, kInt8);
  for (const Products one : {int8.attention, int8.absorbed, int8.dense, int8.experts, int8.head})
    EXPECT_EQ(one, Products::int8);
  const Arithmetic bf16 = arithmetic_of(checkpoint, kBf16);
  EXPECT_EQ(bf16.experts, Products::f32) << "rows are no codes";
  EXPECT_EQ(bf16.absorbed, Products::f32);
  EXPECT_EQ(bf16.head, Products::bf16);
  const Arithmetic tiles = arithmetic_of(checkpoint, {ActivationMode::bf16_tiles});
  EXPECT_EQ(tiles.experts, Products::f32) << "not the order of tiles";
  for (const Products one : {tiles.absorbed, tiles.head}) EXPECT_EQ(one, Products::tiles);
  const ValueBytes bytes = value_bytes_of(checkpoint, kInt8);
  const PromptShape shape{.sequences = 2, .tokens = 3};
  const Work work = prompt_work(checkpoint.config(), bytes, shape, int8);
  EXPECT_EQ(work.flops, prompt_work(checkpoint.config(), bytes, shape).flops);
  EXPECT_EQ(work.bf16_flops, 0);
  const Work in_tiles = prompt_work(checkpoint.config(), bytes, shape, tiles);
  EXPECT_GT(in_tiles.tile_flops, 0);
  EXPECT_EQ(in_tiles.bf16_flops, 0);
  const ModelConfig& c = checkpoint.config();
  const int computed = c.num_layers - 1;  // the last one only writes cache entries
  double layers = 0;                      // with a gate
  for (int layer = 0; layer < computed; ++layer) layers += c.is_moe(layer) ? 1 : 0;
  const double gate = 2.0 * 6 * layers * c.hidden_size * c.routed_experts;
  const double keys =
      2.0 * 2 * (1 + 2 + 3) * computed * c.num_heads * (2.0 * c.kv_lora_rank + c.qk_rope_head_dim);
  EXPECT_DOUBLE_EQ(work.flops - work.int8_flops, gate + keys);
}

TEST_F(DerivedWeights, WhatNobodyReadsAnyMoreIsGivenBack) {
  const auto report = cast_checkpoint(std::string(kSourceDir) + "/examples/troupe-tiny",
                                      dir_ / "tiny", {.to = WeightFormat::int8_blocks});
  ASSERT_TRUE(report) << report.error().detail;
  const auto checkpoint = Checkpoint::open(dir_ / "tiny");
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  const auto kept = [&](const char* name, const Numerics& numerics) {
    const auto model = AttentionModel::load(*checkpoint, numerics, engine_);
    EXPECT_TRUE(model);
    const auto [mapped, all] = testing::pages_mapped(*checkpoint->find(name));
    EXPECT_GT(all, 8) << name;
    return mapped > 2;  // the first and the last page may hold other tensors as well
  };
  EXPECT_TRUE(kept("lm_head.weight", kBf16));
  EXPECT_FALSE(kept("lm_head.weight", kInt8));
  EXPECT_FALSE(kept("model.layers.0.self_attn.kv_b_proj.weight", kBf16));
}

}  // namespace
}  // namespace troupe::model
