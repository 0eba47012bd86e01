// config.json of the V3 family is read as specified; everything else is refused with its reason.
#include "model/config/model_config.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/source_dir.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

using nlohmann::ordered_json;

std::filesystem::path goldens() {
  return std::filesystem::path(troupe::kSourceDir) / "tests/goldens";
}

ordered_json tiny() { return testing::TinyCheckpoint().config; }

/// DeepSeek-V3's published values (specification 1.1).
ordered_json v3() {
  return ordered_json::parse(R"({"architectures":["DeepseekV3ForCausalLM"],"attention_bias":false,
    "aux_loss_alpha":0.001,"bos_token_id":0,"eos_token_id":1,"ep_size":1,"first_k_dense_replace":3,
    "hidden_act":"silu","hidden_size":7168,"intermediate_size":18432,"kv_lora_rank":512,
    "max_position_embeddings":163840,"model_type":"deepseek_v3","moe_intermediate_size":2048,
    "moe_layer_freq":1,"n_group":8,"n_routed_experts":256,"n_shared_experts":1,
    "norm_topk_prob":true,"num_attention_heads":128,"num_experts_per_tok":8,
    "num_hidden_layers":61,"num_key_value_heads":128,"num_nextn_predict_layers":1,
    "q_lora_rank":1536,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"rms_norm_eps":1e-06,
    "quantization_config":{"activation_scheme":"dynamic","fmt":"e4m3","quant_method":"fp8",
    "weight_block_size":[128,128]},"rope_scaling":{"beta_fast":32,"beta_slow":1,"factor":40,
    "mscale":1.0,"mscale_all_dim":1.0,"original_max_position_embeddings":4096,"type":"yarn"},
    "rope_theta":10000,"routed_scaling_factor":2.5,"scoring_func":"sigmoid","seq_aux":true,
    "tie_word_embeddings":false,"topk_group":4,"topk_method":"noaux_tc","torch_dtype":"bfloat16",
    "transformers_version":"4.33.1","use_cache":true,"v_head_dim":128,"vocab_size":129280})");
}

void expect_refused(const ordered_json& json, Errc code, const std::string& word) {
  const auto config = parse_config(json.dump());
  ASSERT_FALSE(config) << "accepted, expected: " << word;
  EXPECT_EQ(config.error().code, code) << config.error().detail;
  EXPECT_NE(config.error().detail.find(word), std::string::npos) << config.error().detail;
}

/// `json` with `patch` laid over it; a null in `patch` stays null.
ordered_json with(ordered_json json, const ordered_json& patch) {
  for (const auto& [key, value] : patch.items()) json[key] = value;
  return json;
}

TEST(ModelConfig, ReadsDeepSeekV3) {
  const auto config = parse_config(v3().dump());
  ASSERT_TRUE(config) << config.error().detail;
  EXPECT_EQ(config->num_layers, 61);
  EXPECT_EQ(config->qk_head_dim(), 192);
  EXPECT_EQ(config->groups, 8);
  EXPECT_EQ(config->groups_kept, 4);
  EXPECT_EQ(config->mtp_layers, 1);
  EXPECT_EQ(config->route_scale, 2.5f);
  EXPECT_EQ(config->quantisation.format, WeightFormat::fp8_blocks);
  EXPECT_FALSE(config->quantisation.scale_fmt_ue8m0);
  ASSERT_TRUE(config->yarn);
  EXPECT_EQ(*config->yarn, (Yarn{40, 4096, 32, 1, 1, 1}));
  EXPECT_FALSE(config->is_moe(2));
  EXPECT_TRUE(config->is_moe(3));
  EXPECT_TRUE(config->is_moe(61)) << "the MTP layer routes";
  EXPECT_EQ(config->eos_token_ids, std::vector<int>{1});
}

TEST(ModelConfig, ReadsMoonlightsDifferences) {
  const auto config = load_config(goldens() / "moonlight-mini/model");
  ASSERT_TRUE(config) << config.error().detail;
  EXPECT_EQ(config->q_lora_rank, 0);
  EXPECT_FALSE(config->yarn);
  EXPECT_EQ(config->rms_norm_eps, 1e-5f);
  EXPECT_EQ(config->inner_norm_eps, 1e-6f);
  EXPECT_EQ(config->shared_intermediate_size(), 96);
  EXPECT_EQ(config->rope_theta, 50000);
  EXPECT_EQ(config->quantisation, Quantisation{});
}

TEST(ModelConfig, ReadsTheScaleFormatOfV31) {
  EXPECT_TRUE(load_config(goldens() / "v31-mini/model")->quantisation.scale_fmt_ue8m0);
}

TEST(ModelConfig, SpellingsOfOneKimiConfigAreEqual) {
  const auto kimi = load_config(goldens() / "kimi-mini/model");
  ASSERT_TRUE(kimi) << kimi.error().detail;
  for (const char* name : {"deepseek_v3.json", "rope_parameters.json"}) {
    const auto text = testing::read_bytes(goldens() / "kimi-mini/config_variants" / name);
    const auto variant = parse_config(text);
    ASSERT_TRUE(variant) << variant.error().detail;
    EXPECT_EQ(*variant, *kimi) << name;
  }
}

TEST(ModelConfig, FillsInTheSpecifiedDefaults) {
  ordered_json json = tiny();
  for (const char* key : {"n_group", "topk_group", "num_nextn_predict_layers", "rope_theta",
                          "max_position_embeddings", "rms_norm_eps", "first_k_dense_replace",
                          "n_shared_experts", "norm_topk_prob"})
    json.erase(key);
  json["rope_scaling"] = {
      {"type", "yarn"}, {"factor", 8}, {"original_max_position_embeddings", 32}};
  const auto config = parse_config(json.dump());
  ASSERT_TRUE(config) << config.error().detail;
  EXPECT_EQ(config->groups, 1);
  EXPECT_EQ(config->groups_kept, 1);
  EXPECT_EQ(config->mtp_layers, 0);
  EXPECT_EQ(config->rope_theta, 10000);
  EXPECT_EQ(config->max_position_embeddings, 4096);
  EXPECT_EQ(config->rms_norm_eps, 1e-6f);
  EXPECT_EQ(config->first_k_dense, 3);
  EXPECT_EQ(config->shared_experts, 1);
  EXPECT_TRUE(config->norm_topk_prob);
  EXPECT_EQ(*config->yarn, (Yarn{8, 32, 32, 1, 1, 0}));
  EXPECT_EQ(config->bos_token_id, 0);
  EXPECT_EQ(config->eos_token_ids, std::vector<int>{1});
}

TEST(ModelConfig, NamesEachRequiredKeyThatIsMissingOrNull) {
  for (const char* key :
       {"hidden_size", "num_hidden_layers", "num_attention_heads", "kv_lora_rank",
        "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "vocab_size", "intermediate_size",
        "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "routed_scaling_factor",
        "scoring_func", "topk_method"}) {
    ordered_json json = tiny();
    json.erase(key);
    expect_refused(json, Errc::malformed, key);
    json[key] = nullptr;
    expect_refused(json, Errc::malformed, key);
  }
}

TEST(ModelConfig, AbsentQLoraRankNeedsTheEvidenceOfTensors) {
  ordered_json json = tiny();
  json.erase("q_lora_rank");
  expect_refused(json, Errc::malformed, "q_lora_rank");
  EXPECT_EQ(parse_config(json.dump(), {.q_proj = true})->q_lora_rank, 0);
  json["q_lora_rank"] = nullptr;
  EXPECT_EQ(parse_config(json.dump())->q_lora_rank, 0);
}

TEST(ModelConfig, RefusesRelativesWithTheirReasons) {
  const ordered_json base = tiny();
  const auto refused = [&](const ordered_json& patch, const std::string& word) {
    expect_refused(with(base, patch), Errc::unsupported, word);
  };
  refused({{"model_type", "deepseek_v32"}}, "DeepSeek-V3.2");
  refused({{"model_type", "deepseek_v2"}}, "DeepSeek-V2");
  refused({{"model_type", "deepseek_v4"}}, "DeepSeek-V4");
  refused({{"model_type", "kimi_k25"}}, "text_config");
  refused({{"model_type", "llama"}}, "model_type llama");
  refused({{"architectures", {"DeepseekV32ForCausalLM"}}}, "DeepSeek-V3.2");
  refused({{"architectures", {"LlamaForCausalLM"}}}, "LlamaForCausalLM");
  refused({{"index_topk", 2048}}, "index_topk");
  refused({{"index_n_heads", 64}}, "DSA");
  refused({{"index_head_dim", 128}}, "DSA");
  refused({{"hc_mult", 4}}, "hc_mult");
  refused({{"compress_ratios", {1}}}, "compress_ratios");
  refused({{"o_lora_rank", 1024}}, "o_lora_rank");
  refused({{"linear_attn_config", {{"a", 1}}}}, "linear_attn_config");
  refused({{"text_config", {{"hidden_size", 7168}}}}, "K2.5");
}

TEST(ModelConfig, RefusesSettingsTheEngineDoesNotHave) {
  const ordered_json base = tiny();
  const auto refused = [&](const ordered_json& patch, const std::string& word) {
    expect_refused(with(base, patch), Errc::unsupported, word);
  };
  refused({{"attention_bias", true}}, "attention_bias");
  refused({{"hidden_act", "gelu"}}, "gelu");
  refused({{"scoring_func", "softmax"}}, "softmax");
  refused({{"topk_method", "group_limited_greedy"}}, "group_limited_greedy");
  refused({{"tie_word_embeddings", true}}, "tie_word_embeddings");
  refused({{"rope_interleave", false}}, "rope_interleave");
  refused({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}, "linear");
  EXPECT_TRUE(parse_config(with(base, {{"rope_interleave", true}, {"head_dim", 7}}).dump()));
}

TEST(ModelConfig, RefusesOtherQuantisations) {
  const auto refused = [&](const ordered_json& patch, const std::string& word) {
    ordered_json json = tiny();
    json["quantization_config"] = with(json["quantization_config"], patch);
    expect_refused(json, Errc::unsupported, word);
  };
  for (const char* method : {"bitsandbytes", "mxfp4"})
    refused({{"quant_method", method}}, "not supported yet");
  refused({{"quant_method", "magic"}}, "magic is unknown");
  refused({{"weight_block_size", {64, 128}}}, "[64,128]");
  refused({{"weight_block_size", {128, 128, 128}}}, "weight_block_size");
  refused({{"weight_block_size", nullptr}}, "weight_block_size");
  refused({{"activation_scheme", "static"}}, "static");
  refused({{"fmt", "e5m2"}}, "e5m2");
  refused({{"scale_fmt", "int"}}, "scale_fmt");
  ordered_json json = tiny();
  json["quantization_config"].erase("weight_block_size");
  expect_refused(json, Errc::unsupported, "weight_block_size");
  expect_refused(with(tiny(), {{"quantization_config", "fp8"}}), Errc::malformed,
                 "quantization_config");
}

TEST(ModelConfig, RefusesDimensionsThatCannotBe) {
  const ordered_json base = tiny();
  const auto refused = [&](const ordered_json& patch, const std::string& word) {
    expect_refused(with(base, patch), Errc::malformed, word);
  };
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
                          "kv_lora_rank", "v_head_dim", "n_routed_experts", "moe_intermediate_size",
                          "q_lora_rank", "n_group", "moe_layer_freq"})
    for (const ordered_json& value : {ordered_json(0), ordered_json(-1), ordered_json(1.5),
                                      ordered_json("8"), ordered_json(1LL << 40)})
      refused({{key, value}}, key);
  refused({{"qk_rope_head_dim", 15}}, "even");
  refused({{"n_group", 3}}, "divisible");
  refused({{"n_group", 4}}, "one expert per group");
  refused({{"topk_group", 3}}, "topk_group");
  refused({{"num_experts_per_tok", 3}}, "num_experts_per_tok");
  refused({{"rope_theta", 0}}, "rope_theta");
  refused({{"rope_theta", 1}}, "rope_theta");
  refused({{"rms_norm_eps", 0}}, "rms_norm_eps");
  refused({{"routed_scaling_factor", -2.5}}, "routed_scaling_factor");
  refused({{"norm_topk_prob", 1}}, "norm_topk_prob");
  refused({{"bos_token_id", 64}}, "bos_token_id");
  refused({{"eos_token_id", -1}}, "eos_token_id");
  refused({{"eos_token_id", {1, 64}}}, "eos_token_id");
}

TEST(ModelConfig, AcceptsSeveralOrNoEndTokens) {
  EXPECT_EQ(parse_config(with(tiny(), {{"eos_token_id", {1, 7}}}).dump())->eos_token_ids,
            (std::vector<int>{1, 7}));
  const auto none =
      parse_config(with(tiny(), {{"eos_token_id", nullptr}, {"bos_token_id", nullptr}}).dump());
  EXPECT_TRUE(none->eos_token_ids.empty());
  EXPECT_FALSE(none->bos_token_id);
}

TEST(ModelConfig, RefusesTwoDifferentRopeSettings) {
  const ordered_json yarn = {
      {"rope_type", "yarn"}, {"factor", 8}, {"original_max_position_embeddings", 32}};
  const ordered_json other = with(yarn, {{"factor", 4}});
  expect_refused(with(tiny(), {{"rope_scaling", yarn}, {"rope_parameters", other}}),
                 Errc::malformed, "contradict");
  expect_refused(with(tiny(), {{"rope_parameters", with(yarn, {{"rope_theta", 5}})}}),
                 Errc::malformed, "rope_theta");
  expect_refused(with(tiny(), {{"rope_scaling", with(yarn, {{"factor", 0.5}})}}), Errc::malformed,
                 "rope_scaling.factor");
  expect_refused(with(tiny(), {{"rope_scaling", {{"type", "yarn"}, {"factor", 8}}}}),
                 Errc::malformed, "rope_scaling.original_max_position_embeddings");
  EXPECT_FALSE(
      parse_config(with(tiny(), {{"rope_parameters", {{"rope_type", "default"}}}}).dump())->yarn);
}

TEST(ModelConfig, NamesTheFileThatIsMissingOrNotJson) {
  testing::TempDir dir;
  EXPECT_EQ(load_config(dir.path()).error().code, Errc::not_found);
  testing::write_bytes(dir / "config.json", "{\"hidden_size\": 1");
  const auto config = load_config(dir.path());
  EXPECT_EQ(config.error().code, Errc::malformed);
  EXPECT_NE(config.error().detail.find("config.json"), std::string::npos);
  for (const char* text : {"[]", "3", "null"})
    EXPECT_EQ(parse_config(text).error().code, Errc::malformed);
}

}  // namespace
}  // namespace troupe::model
