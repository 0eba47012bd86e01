// Inspection accounts for every byte of a checkpoint, by role, layer and dtype.
#include "model/checkpoint/inspect.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "model/checkpoint/tensor_plan.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

using testing::TempDir;
using testing::TinyCheckpoint;

Expected<Inspection> inspect_tiny(const TinyCheckpoint& tiny) {
  TempDir dir;
  tiny.write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  if (!checkpoint) return unexpected(checkpoint.error());
  return inspect(*checkpoint);
}

TEST(Inspect, RolesAndDtypesAddUpToTheFiles) {
  TinyCheckpoint tiny;
  tiny.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {"F32", {8}, std::string(32, 'x')};
  const auto result = inspect_tiny(tiny);
  ASSERT_TRUE(result) << result.error().detail;
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : tiny.tensors) bytes += tensor.bytes.size();
  EXPECT_EQ(result->total.bytes, bytes);
  EXPECT_EQ(result->total.tensors, tiny.tensors.size());
  EXPECT_EQ(result->attention.bytes + result->router.bytes + result->experts.bytes +
                result->mtp.bytes + result->unused.bytes,
            bytes);
  EXPECT_EQ(result->unused.bytes, 32u);
  std::uint64_t by_dtype = 0;
  for (const DTypeTotals& dtype : result->dtypes) by_dtype += dtype.totals.bytes;
  EXPECT_EQ(by_dtype, bytes);
  EXPECT_EQ(result->dtypes.front().dtype, DType::f8_e4m3);
  // One layer of 4 experts: three matrices of 16 x 160 and scales [1, 2], [1, 2], [2, 1].
  EXPECT_EQ(result->experts.bytes, 4u * (3 * 16 * 160 + 3 * 2 * 4));
  EXPECT_EQ(result->experts.parameters, 4u * 3 * 16 * 160);
  EXPECT_EQ(result->router.bytes, 4u * 160 * 2 + 4 * 4);
  EXPECT_EQ(result->kv_token_bytes, 2u * (128 + 16) * 2);
  EXPECT_EQ(result->kv_fp8_token_bytes, 2u * (128 + 4 + 16 * 2));
  ASSERT_EQ(result->layers.size(), 3u);
  EXPECT_EQ(result->layers[2].kind, "mtp");
}

TEST(Inspect, RendersTextAndValidJson) {
  const auto result = inspect_tiny(TinyCheckpoint());
  ASSERT_TRUE(result);
  const std::string text = to_text(*result);
  for (const char* word : {"attention", "router", "experts", "dense", "moe", "mtp", "F8_E4M3",
                           "2 (1 dense)", "4 routed of width 16, 2 per token"})
    EXPECT_NE(text.find(word), std::string::npos) << word << " not in\n" << text;
  const auto json = nlohmann::json::parse(to_json(*result));
  EXPECT_EQ(json["roles"]["experts"]["bytes"], result->experts.bytes);
  EXPECT_EQ(json["layers"].size(), 3u);
  EXPECT_EQ(json["config"]["hidden_size"], 160);
  EXPECT_EQ(json["revision"], result->revision);
}

TEST(Inspect, RefusesNaNScales) {
  TinyCheckpoint tiny;
  const float nan = std::nanf("");
  const std::string name = "model.layers.1.mlp.experts.2.up_proj.weight_scale_inv";
  std::memcpy(tiny.tensors[name].bytes.data(), &nan, sizeof nan);
  const auto result = inspect_tiny(tiny);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().detail.find(name), std::string::npos);
}

/// Specification 2.6: the list of tensors of DeepSeek-V3, counted without its 671 GB.
TEST(TensorPlan, CountsEveryTensorAndByteOfDeepSeekV3) {
  ModelConfig v3;
  v3.hidden_size = 7168, v3.num_layers = 61, v3.num_heads = 128, v3.q_lora_rank = 1536;
  v3.kv_lora_rank = 512, v3.qk_nope_head_dim = 128, v3.qk_rope_head_dim = 64, v3.v_head_dim = 128;
  v3.intermediate_size = 18432, v3.moe_intermediate_size = 2048, v3.routed_experts = 256;
  v3.shared_experts = 1, v3.first_k_dense = 3, v3.mtp_layers = 1, v3.vocab_size = 129280;
  std::vector<TensorSpec> specs = main_tensors(v3);
  for (TensorSpec& spec : mtp_tensors(v3)) specs.push_back(std::move(spec));
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;
  for (const TensorSpec& spec : specs) {
    const bool linear = spec.kind == TensorKind::linear;
    const bool bias = spec.name.ends_with("e_score_correction_bias");
    const auto elements =
        static_cast<std::uint64_t>(spec.rows * std::max<std::int64_t>(spec.cols, 1));
    tensors += linear ? 2 : 1;
    bytes += elements * (linear ? 1 : bias ? 4 : 2);
    if (linear)
      bytes +=
          4ull * static_cast<std::uint64_t>((spec.rows + 127) / 128 * ((spec.cols + 127) / 128));
  }
  EXPECT_EQ(tensors, 91'991u);
  EXPECT_EQ(bytes, 688'574'839'360u);
}

}  // namespace
}  // namespace troupe::model
