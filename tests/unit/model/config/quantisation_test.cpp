// quantization_config: the published forms are read, and others refused for what they are.
#include "model/config/quantisation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/config/config_reader.hpp"

namespace troupe::model {
namespace {

using nlohmann::ordered_json;

struct Outcome {
  Quantisation quantisation;
  Error error{Errc::ok, ""};
};

Outcome read(const ordered_json& config) {
  const auto root = parse_json(config.dump());
  ConfigReader reader(*root);
  Outcome outcome;
  outcome.quantisation = read_quantisation(reader);
  if (!reader.ok()) outcome.error = reader.error();
  return outcome;
}

Outcome read_method(const ordered_json& quantisation) {
  return read({{"quantization_config", quantisation}});
}

/// As Kimi-K2-Thinking's config.json has it.
ordered_json kimi() {
  return ordered_json::parse(R"({"config_groups":{"group_0":{"input_activations":null,
      "output_activations":null,"targets":["Linear"],"weights":{"actorder":null,
      "block_structure":null,"dynamic":false,"group_size":32,"num_bits":4,"observer":"minmax",
      "observer_kwargs":{},"strategy":"group","symmetric":true,"type":"int"}}},
      "format":"pack-quantized","ignore":["lm_head","re:.*self_attn.*"],"kv_cache_scheme":null,
      "quant_method":"compressed-tensors","quantization_status":"compressed"})");
}

void expect_refused(const ordered_json& quantisation, Errc code, const std::string& word) {
  const Outcome outcome = read_method(quantisation);
  EXPECT_EQ(outcome.error.code, code) << word;
  EXPECT_NE(outcome.error.detail.find(word), std::string::npos) << outcome.error.detail;
}

TEST(Quantisation, ReadsThePublishedForms) {
  EXPECT_EQ(read(ordered_json::object()).quantisation, Quantisation{});
  const auto int8 = read_method({{"activation_scheme", "dynamic"},
                                 {"quant_method", "blockwise_int8"},
                                 {"weight_block_size", {128, 128}}});
  EXPECT_EQ(int8.error.detail, "");
  EXPECT_EQ(int8.quantisation.format, WeightFormat::int8_blocks);
  EXPECT_EQ(read_method({{"quant_method", "w8a8_int8"}}).quantisation.format,
            WeightFormat::int8_channel);
  const auto int4 = read_method(kimi());
  EXPECT_EQ(int4.error.detail, "");
  EXPECT_EQ(int4.quantisation.format, WeightFormat::int4_groups);
  EXPECT_EQ(int4.quantisation.ignore, (std::vector<std::string>{"lm_head", "re:.*self_attn.*"}));
}

TEST(Quantisation, ReadsWhatItWrites) {
  for (const auto format : {WeightFormat::fp8_blocks, WeightFormat::int8_blocks,
                            WeightFormat::int8_channel, WeightFormat::int4_groups}) {
    const auto outcome = read_method(ordered_json::parse(to_json(quantisation_json(format))));
    EXPECT_EQ(outcome.error.detail, "") << to_string(format);
    EXPECT_EQ(outcome.quantisation.format, format);
  }
  EXPECT_TRUE(quantisation_json(WeightFormat::plain).is_null());
  const auto all = read_method(
      ordered_json::parse(to_json(quantisation_json(WeightFormat::int4_groups, Int4Layers::all))));
  EXPECT_EQ(all.error.detail, "");
  const auto& ignore = all.quantisation.ignore;
  EXPECT_EQ(std::count(ignore.begin(), ignore.end(), "re:.*kv_b_proj.*"), 1);
}

TEST(Quantisation, RefusesOtherInt8) {
  expect_refused({{"quant_method", "blockwise_int8"}}, Errc::unsupported, "weight_block_size");
  expect_refused({{"quant_method", "blockwise_int8"}, {"weight_block_size", {64, 64}}},
                 Errc::unsupported, "[64,64]");
  expect_refused({{"quant_method", "w8a8_int8"}, {"activation_scheme", "static"}},
                 Errc::unsupported, "activation_scheme static");
}

TEST(Quantisation, RefusesOtherCompressedTensors) {
  const auto patched = [](const std::string& pointer, const ordered_json& value) {
    ordered_json json = kimi();
    json[ordered_json::json_pointer(pointer)] = value;
    return json;
  };
  const std::string weights = "/config_groups/group_0/weights/";
  for (const auto& [key, value, word] :
       std::vector<std::tuple<std::string, ordered_json, std::string>>{
           {"num_bits", 8, "num_bits 8"},
           {"group_size", 128, "group_size 128"},
           {"type", "float", "type float"},
           {"strategy", "channel", "strategy channel"},
           {"symmetric", false, "symmetric"},
           {"dynamic", true, "dynamic"},
           {"actorder", "group", "actorder"}})
    expect_refused(patched(weights + key, value), Errc::unsupported, word);
  expect_refused(patched("/format", "int-quantized"), Errc::unsupported, "int-quantized");
  expect_refused(patched("/quantization_status", "frozen"), Errc::unsupported, "frozen");
  expect_refused(patched("/kv_cache_scheme", {{"num_bits", 8}}), Errc::unsupported, "kv_cache");
  expect_refused(patched("/sparsity_config", {{"format", "x"}}), Errc::unsupported, "sparsity");
  expect_refused(patched("/transform_config", {{"config_groups", {{"R1", 1}}}}), Errc::unsupported,
                 "transform_config");
  expect_refused(patched("/config_groups/group_0/targets", {"Conv2d"}), Errc::unsupported,
                 "targets");
  expect_refused(patched("/config_groups/group_0/input_activations", {{"num_bits", 8}}),
                 Errc::unsupported, "input_activations");
  expect_refused(patched("/config_groups/group_0/weights", nullptr), Errc::unsupported, "weights");
  expect_refused(patched("/config_groups", ordered_json::object()), Errc::malformed,
                 "config_groups");
  expect_refused(patched("/ignore", "lm_head"), Errc::malformed, "ignore");
  expect_refused(patched("/ignore/0", 7), Errc::malformed, "ignore holds 7");
}

TEST(Quantisation, ReadsAwqAndGptq) {
  const auto awq = read_method({{"quant_method", "awq"},
                                {"bits", 4},
                                {"group_size", 128},
                                {"zero_point", true},
                                {"version", "gemm"},
                                {"modules_to_not_convert", {"self_attn.", "shared_experts"}}});
  EXPECT_EQ(awq.error.detail, "");
  EXPECT_EQ(awq.quantisation.format, WeightFormat::awq);
  EXPECT_EQ(awq.quantisation.group_size, 128);
  EXPECT_FALSE(awq.quantisation.zeros_less_one);
  EXPECT_EQ(awq.quantisation.ignore, (std::vector<std::string>{"self_attn.", "shared_experts"}));
  const auto all = read_method({{"quant_method", "awq"},
                                {"bits", 4},
                                {"group_size", -1},
                                {"modules_to_not_convert", nullptr}});
  EXPECT_EQ(all.error.detail, "");
  EXPECT_EQ(all.quantisation.group_size, -1);
  EXPECT_TRUE(all.quantisation.ignore.empty());

  ordered_json gptq = {{"quant_method", "gptq"},
                       {"bits", 4},
                       {"group_size", 32},
                       {"desc_act", true},
                       {"sym", true},
                       {"lm_head", false},
                       {"pack_dtype", "int32"},
                       {"static_groups", false}};
  gptq["dynamic"]["-:.*gate$"] = ordered_json::object();
  const auto first = read_method(gptq);
  EXPECT_EQ(first.error.detail, "");
  EXPECT_EQ(first.quantisation.format, WeightFormat::gptq);
  EXPECT_TRUE(first.quantisation.zeros_less_one);
  EXPECT_TRUE(first.quantisation.desc_act);
  gptq["checkpoint_format"] = "gptq_v2";
  EXPECT_FALSE(read_method(gptq).quantisation.zeros_less_one);
  gptq.erase("checkpoint_format");
  gptq["format"] = "gptq_v2";
  EXPECT_FALSE(read_method(gptq).quantisation.zeros_less_one);
}

TEST(Quantisation, RefusesOtherAwqAndGptq) {
  const auto with = [](const char* method, const char* key, const ordered_json& value) {
    ordered_json json = {{"quant_method", method}, {"bits", 4}, {"group_size", 128}};
    json[key] = value;
    return json;
  };
  for (const char* method : {"awq", "gptq"}) {
    expect_refused(with(method, "bits", 8), Errc::unsupported, "bits 8");
    expect_refused(with(method, "bits", 3), Errc::unsupported, "take the 4-bit form");
    for (const int group : {0, 16, 48, 100})
      expect_refused(with(method, "group_size", group), Errc::unsupported, "multiple of 32");
    expect_refused(with(method, "group_size", -2), Errc::malformed, "group_size");
    expect_refused(with(method, "bits", nullptr), Errc::malformed, "bits");
  }
  expect_refused(with("awq", "version", "gemv"), Errc::unsupported, "quantise with version gemm");
  expect_refused(with("awq", "zero_point", false), Errc::unsupported, "zero_point false");
  expect_refused(with("awq", "modules_to_not_convert", "gate"), Errc::malformed, "not a list");
  expect_refused(with("awq", "modules_to_not_convert", {""}), Errc::malformed, "no name");
  expect_refused(with("gptq", "checkpoint_format", "marlin"), Errc::unsupported, "marlin");
  expect_refused(with("gptq", "is_marlin_format", true), Errc::unsupported, "is_marlin_format");
  expect_refused(with("gptq", "lm_head", true), Errc::unsupported, "lm_head");
  expect_refused(with("gptq", "pack_dtype", "int16"), Errc::unsupported, "int16");
  expect_refused(with("gptq", "dynamic", 1), Errc::malformed, "dynamic");
  expect_refused(with("gptq", "dynamic", {{"+:.*down.*", {{"bits", 8}}}}), Errc::unsupported,
                 "+:.*down.*");
}

TEST(Quantisation, RefusesOtherMethodsForWhatTheyAre) {
  for (const char* method : {"bitsandbytes", "modelopt", "mxfp4", "int8"})
    expect_refused({{"quant_method", method}}, Errc::unsupported, "not supported yet");
  expect_refused({{"quant_method", "magic"}}, Errc::unsupported, "magic is unknown");
  const auto old = read({{"compression_config", kimi()}});
  EXPECT_EQ(old.error.code, Errc::unsupported);
  EXPECT_NE(old.error.detail.find("quantization_config"), std::string::npos);
}

}  // namespace
}  // namespace troupe::model
