// Recognises the published quantisations and says why others are refused.
#include "model/config/quantisation.hpp"

#include "model/config/config_reader.hpp"

namespace troupe::model {
namespace {

void unsupported(ConfigReader& reader, const std::string& why) {
  reader.fail(Errc::unsupported, why);
}

/// A key that may be absent or null, or must have this value.
void expect_word(ConfigReader& reader, std::string_view key, std::string_view word) {
  const std::string value = reader.string_or(key, std::string(word));
  if (reader.ok() && value != word)
    unsupported(reader, reader.name(key) + " " + value + " is not supported: only " +
                            std::string(word) + " is");
}

void expect_absent(ConfigReader& reader, std::string_view key, const std::string& why) {
  const JsonValue* value = reader.find(key);
  if (value == nullptr || value->is_null()) return;
  if (value->object() != nullptr && value->object()->empty()) return;
  unsupported(reader, reader.name(key) + " is not supported: " + why);
}

void check_block_size(ConfigReader& reader, std::string_view method) {
  const JsonValue* block = reader.find("weight_block_size");
  const JsonValue::Array* sides = block == nullptr ? nullptr : block->array();
  const bool fits = sides != nullptr && sides->size() == 2 && (*sides)[0].integer() == 128 &&
                    (*sides)[1].integer() == 128;
  if (!fits)
    unsupported(reader, "quantization_config: " + std::string(method) +
                            " needs weight_block_size [128, 128], but it is " +
                            (block == nullptr ? "absent" : to_json(*block)));
}

void read_fp8(ConfigReader& reader, Quantisation& out) {
  check_block_size(reader, "fp8");
  expect_word(reader, "activation_scheme", "dynamic");
  expect_word(reader, "fmt", "e4m3");
  const std::string scale = reader.string_or("scale_fmt", "");
  out.scale_fmt_ue8m0 = scale == "ue8m0";
  if (!scale.empty() && !out.scale_fmt_ue8m0)
    unsupported(reader, "quantization_config.scale_fmt " + scale + " is not supported");
  out.format = WeightFormat::fp8_blocks;
}

void read_int8(ConfigReader& reader, std::string_view method, Quantisation& out) {
  const bool blocks = method == "blockwise_int8";
  if (blocks) check_block_size(reader, method);
  expect_word(reader, "activation_scheme", "dynamic");
  out.format = blocks ? WeightFormat::int8_blocks : WeightFormat::int8_channel;
}

/// One of config_groups: symmetric 4-bit integers in groups of 32 for every Linear.
void read_group(ConfigReader& outer, const JsonMember& member) {
  ConfigReader group(member.value, outer.name("config_groups." + member.key + "."));
  if (group.ok()) {
    expect_word(group, "format", "pack-quantized");
    expect_absent(group, "output_activations", "only weights are quantised");
    const JsonValue* targets = group.find("targets");
    const JsonValue::Array* names = targets == nullptr ? nullptr : targets->array();
    if (names == nullptr || names->size() != 1 || (*names)[0].string() == nullptr ||
        *(*names)[0].string() != "Linear")
      unsupported(group, group.name("targets") + " must be [\"Linear\"]");
    expect_absent(group, "input_activations", "only weights are quantised");
  }
  if (group.ok() && !group.has("weights"))
    unsupported(group, group.name("weights") + " is missing");
  if (group.ok()) {
    ConfigReader weights(*group.find("weights"), group.name("weights."));
    if (weights.ok()) {
      const auto expect_int = [&](std::string_view key, int wanted) {
        const int value = weights.require_int(key, {-1, 1 << 20});
        if (weights.ok() && value != wanted)
          unsupported(weights, weights.name(key) + " " + std::to_string(value) +
                                   " is not supported: Troupe reads 4-bit codes in groups of 32");
      };
      expect_int("num_bits", 4);
      expect_int("group_size", 32);
      expect_word(weights, "type", "int");
      expect_word(weights, "strategy", "group");
      if (!weights.bool_or("symmetric", true))
        unsupported(weights, weights.name("symmetric") + " false is not supported");
      if (weights.bool_or("dynamic", false))
        unsupported(weights, weights.name("dynamic") + " true is not supported for weights");
      expect_absent(weights, "actorder", "columns must be stored in their order");
    }
    group.adopt(weights);
  }
  outer.adopt(group);
}

void read_ignore(ConfigReader& reader, std::string_view key, Quantisation& out) {
  if (!reader.has(key)) return;
  const JsonValue::Array* names = reader.find(key)->array();
  if (names == nullptr)
    return reader.fail(Errc::malformed, reader.name(key) + " is not a list of names");
  for (const JsonValue& name : *names) {
    if (name.string() == nullptr || name.string()->empty())
      return reader.fail(Errc::malformed,
                         reader.name(key) + " holds " + to_json(name) + ", which is no name");
    out.ignore.push_back(*name.string());
  }
}

void read_compressed_tensors(ConfigReader& reader, Quantisation& out) {
  expect_word(reader, "format", "pack-quantized");
  expect_word(reader, "quantization_status", "compressed");
  expect_absent(reader, "kv_cache_scheme", "the cache is not quantised");
  expect_absent(reader, "sparsity_config", "weights must be dense");
  expect_absent(reader, "transform_config", "rows of x are not rotated");
  const JsonValue* groups = reader.find("config_groups");
  if (groups == nullptr || groups->object() == nullptr || groups->object()->empty())
    return reader.fail(Errc::malformed, reader.name("config_groups") + " is missing or empty");
  for (const JsonMember& member : *groups->object()) read_group(reader, member);
  read_ignore(reader, "ignore", out);
  out.format = WeightFormat::int4_groups;
}

/// What AWQ and GPTQ have in common.
void read_packing(ConfigReader& reader, Quantisation& out) {
  const int bits = reader.require_int("bits", {1, 64});
  if (reader.ok() && bits != 4)
    unsupported(reader, reader.name("bits") + " " + std::to_string(bits) +
                            " is not supported: take the 4-bit form of this model");
  const int group = reader.require_int("group_size", {-1, 1 << 24});
  if (reader.ok() && group != -1 && (group == 0 || group % 32 != 0))
    unsupported(reader, reader.name("group_size") + " " + std::to_string(group) +
                            " is not supported: quantise with a multiple of 32 (usually 128) or "
                            "with -1, one group per output");
  out.group_size = group;
}

void read_awq(ConfigReader& reader, Quantisation& out) {
  read_packing(reader, out);
  const std::string version = reader.string_or("version", "gemm");
  if (reader.ok() && version != "gemm" && version != "GEMM")
    unsupported(reader, reader.name("version") + " " + version +
                            " is not supported: quantise with version gemm");
  if (!reader.bool_or("zero_point", true))
    unsupported(reader,
                reader.name("zero_point") + " false is not supported: quantise with zero points");
  read_ignore(reader, "modules_to_not_convert", out);
  out.format = WeightFormat::awq;
}

/// GPTQModel's exceptions by name: only modules that are left out ("-:") change nothing in others.
void check_dynamic(ConfigReader& reader) {
  if (!reader.has("dynamic")) return;
  const JsonValue::Object* rules = reader.find("dynamic")->object();
  if (rules == nullptr)
    return reader.fail(Errc::malformed, reader.name("dynamic") + " is not an object");
  for (const JsonMember& rule : *rules)
    if (!rule.key.starts_with("-:"))
      unsupported(reader, reader.name("dynamic") + " has the rule \"" + rule.key +
                              "\": only rules that leave modules out (\"-:\") are supported, so "
                              "quantise all others alike");
}

void read_gptq(ConfigReader& reader, Quantisation& out) {
  read_packing(reader, out);
  const std::string format =
      reader.string_or("checkpoint_format", reader.string_or("format", "gptq"));
  if (reader.ok() && format != "gptq" && format != "gptq_v2")
    unsupported(reader, reader.name("checkpoint_format") + " " + format +
                            " is not supported: save the model as gptq or gptq_v2");
  if (reader.bool_or("is_marlin_format", false))
    unsupported(reader, reader.name("is_marlin_format") +
                            " true is not supported: save the model as gptq or gptq_v2");
  if (reader.bool_or("lm_head", false))
    unsupported(reader, reader.name("lm_head") + " true is not supported: leave lm_head plain");
  expect_word(reader, "pack_dtype", "int32");
  check_dynamic(reader);
  out.desc_act = reader.bool_or("desc_act", false);
  out.zeros_less_one = format != "gptq_v2";
  out.format = WeightFormat::gptq;
}

bool is_known(std::string_view method) {
  for (const char* known : {"int8", "bitsandbytes", "modelopt", "mxfp4"})
    if (method == known) return true;
  return false;
}

/// What is left alone of the linear layers that another program may find in a model.
std::vector<const char*> ignored(Int4Layers layers) {
  if (layers == Int4Layers::all)
    return {"lm_head", "re:.*kv_b_proj.*", R"(re:.*mlp\.gate$)", "re:.*eh_proj.*",
            "re:.*shared_head.*"};
  return {"lm_head",
          "re:.*self_attn.*",
          "re:.*shared_experts.*",
          R"(re:.*mlp\.(gate|up|gate_up|down)_proj.*)",
          "re:.*eh_proj.*",
          "re:.*shared_head.*"};
}

}  // namespace

std::string_view to_string(WeightFormat format) {
  switch (format) {
    case WeightFormat::plain: return "plain";
    case WeightFormat::fp8_blocks: return "fp8";
    case WeightFormat::int8_blocks: return "int8";
    case WeightFormat::int8_channel: return "int8-channel";
    case WeightFormat::int4_groups: return "int4";
    case WeightFormat::awq: return "awq";
    case WeightFormat::gptq: return "gptq";
  }
  return "unknown";
}

JsonValue quantisation_json(WeightFormat format, Int4Layers layers) {
  const auto text = [](const char* words) { return JsonValue{std::string(words)}; };
  const auto whole = [](std::int64_t value) { return JsonValue{value}; };
  const JsonValue block{JsonValue::Array{whole(128), whole(128)}};
  switch (format) {
    case WeightFormat::plain:
    case WeightFormat::awq:
    case WeightFormat::gptq: return {};
    case WeightFormat::fp8_blocks:
      return {JsonValue::Object{{"activation_scheme", text("dynamic")},
                                {"fmt", text("e4m3")},
                                {"quant_method", text("fp8")},
                                {"weight_block_size", block}}};
    case WeightFormat::int8_blocks:
      return {JsonValue::Object{{"activation_scheme", text("dynamic")},
                                {"quant_method", text("blockwise_int8")},
                                {"weight_block_size", block}}};
    case WeightFormat::int8_channel:
      return {JsonValue::Object{{"activation_scheme", text("dynamic")},
                                {"quant_method", text("w8a8_int8")}}};
    case WeightFormat::int4_groups: break;
  }
  const JsonValue weights{JsonValue::Object{{"num_bits", whole(4)},
                                            {"type", text("int")},
                                            {"symmetric", {true}},
                                            {"strategy", text("group")},
                                            {"group_size", whole(32)},
                                            {"dynamic", {false}},
                                            {"actorder", {}},
                                            {"observer", text("minmax")}}};
  const JsonValue group{JsonValue::Object{{"targets", {JsonValue::Array{text("Linear")}}},
                                          {"weights", weights},
                                          {"input_activations", {}},
                                          {"output_activations", {}}}};
  JsonValue::Array ignore;
  for (const char* entry : ignored(layers)) ignore.push_back(text(entry));
  return {JsonValue::Object{{"quant_method", text("compressed-tensors")},
                            {"format", text("pack-quantized")},
                            {"quantization_status", text("compressed")},
                            {"kv_cache_scheme", {}},
                            {"config_groups", {JsonValue::Object{{"group_0", group}}}},
                            {"ignore", {std::move(ignore)}}}};
}

Quantisation read_quantisation(ConfigReader& config) {
  Quantisation out;
  if (config.has("compression_config"))
    unsupported(config,
                "compression_config is not supported: newer compressed-tensors files call it "
                "quantization_config");
  if (!config.has("quantization_config")) return out;
  ConfigReader reader(*config.find("quantization_config"), "quantization_config.");
  const std::string method = reader.ok() ? reader.require_string("quant_method") : "";
  if (!reader.ok()) {
    // said below
  } else if (method == "fp8") {
    read_fp8(reader, out);
  } else if (method == "blockwise_int8" || method == "w8a8_int8") {
    read_int8(reader, method, out);
  } else if (method == "compressed-tensors") {
    read_compressed_tensors(reader, out);
  } else if (method == "awq") {
    read_awq(reader, out);
  } else if (method == "gptq") {
    read_gptq(reader, out);
  } else if (is_known(method)) {
    unsupported(reader, "quant_method " + method +
                            " is not supported yet: use the FP8, BF16, INT8 (blockwise_int8, "
                            "w8a8_int8) or INT4 (compressed-tensors, awq, gptq) form of this "
                            "model");
  } else {
    unsupported(reader, "the quant_method " + method + " is unknown");
  }
  config.adopt(reader);
  return out;
}

}  // namespace troupe::model
