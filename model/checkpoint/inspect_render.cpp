// Renders an inspection as a page of text and as JSON.
#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "model/checkpoint/inspect.hpp"
#include "model/config/json_value.hpp"

namespace troupe::model {
namespace {

std::string human(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::string plain_number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

std::string left(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string right(const std::string& text, std::size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string totals_row(const std::string& name, const TensorTotals& totals) {
  return "  " + left(name, 12) + right(std::to_string(totals.tensors), 9) +
         right(std::to_string(totals.parameters), 16) + right(human(totals.bytes), 13);
}

std::string attention_line(const ModelConfig& c) {
  return std::to_string(c.num_heads) + " heads of " + std::to_string(c.qk_nope_head_dim) + "+" +
         std::to_string(c.qk_rope_head_dim) + " (values " + std::to_string(c.v_head_dim) +
         "), latents: queries " + (c.q_lora_rank == 0 ? "none" : std::to_string(c.q_lora_rank)) +
         ", keys and values " + std::to_string(c.kv_lora_rank);
}

std::string experts_line(const ModelConfig& c) {
  std::string text = std::to_string(c.routed_experts) + " routed of width " +
                     std::to_string(c.moe_intermediate_size) + ", " +
                     std::to_string(c.experts_per_token) + " per token";
  if (c.groups > 1)
    text +=
        " from " + std::to_string(c.groups_kept) + " of " + std::to_string(c.groups) + " groups";
  return text + ", " + std::to_string(c.shared_experts) + " shared, scale " +
         plain_number(c.route_scale);
}

std::string rope_line(const ModelConfig& c) {
  std::string text = "theta " + plain_number(c.rope_theta);
  if (c.yarn)
    text += ", YaRN factor " + plain_number(c.yarn->factor) + " over " +
            std::to_string(c.yarn->original_max_position_embeddings) + " positions";
  return text + ", context " + std::to_string(c.max_position_embeddings);
}

std::string groups_of(const Quantisation& how) {
  if (how.group_size < 0) return "one group per output feature";
  return "groups of " + std::to_string(how.group_size) + " columns";
}

std::string weights_line(const ModelConfig& c) {
  switch (c.quantisation.format) {
    case WeightFormat::plain: return "not quantised";
    case WeightFormat::fp8_blocks:
      return std::string("FP8 e4m3 with 128x128 scales") +
             (c.quantisation.scale_fmt_ue8m0 ? ", powers of two (ue8m0)" : "");
    case WeightFormat::int8_blocks: return "INT8 with 128x128 scales";
    case WeightFormat::int8_channel: return "INT8 with one scale per output feature";
    case WeightFormat::int4_groups: return "INT4 with BF16 scales of 32 columns";
    case WeightFormat::awq: return "INT4 with zero points, AWQ, " + groups_of(c.quantisation);
    case WeightFormat::gptq:
      return "INT4 with zero points, GPTQ, " + groups_of(c.quantisation) +
             (c.quantisation.desc_act ? ", columns by activation (desc_act)" : "");
  }
  return "unknown";
}

std::string head(const Inspection& i) {
  const ModelConfig& c = i.config;
  const auto dense = static_cast<std::size_t>(
      std::count_if(i.layers.begin(), i.layers.end(),
                    [](const LayerTotals& layer) { return layer.kind == "dense"; }));
  std::string text;
  const auto line = [&text](const std::string& name, const std::string& value) {
    text += left(name, 12) + value + "\n";
  };
  line("directory", i.directory);
  line("revision", i.revision);
  line("layers", std::to_string(c.num_layers) + " (" + std::to_string(dense) + " dense), MTP " +
                     (i.has_mtp          ? std::to_string(c.mtp_layers)
                      : c.mtp_layers > 0 ? "configured, not in the files"
                                         : "none"));
  line("width", "hidden " + std::to_string(c.hidden_size) + ", dense MLP " +
                    std::to_string(c.intermediate_size) + ", vocabulary " +
                    std::to_string(c.vocab_size));
  line("attention", attention_line(c));
  line("experts", experts_line(c));
  line("rope", rope_line(c));
  line("weights", weights_line(c));
  line("KV cache", std::to_string(i.kv_token_bytes) + " bytes per token (BF16), " +
                       std::to_string(i.kv_fp8_token_bytes) + " with --kv-cache fp8");
  return text;
}

std::string roles_table(const Inspection& i) {
  std::string text = "\n  " + left("role", 12) + right("tensors", 9) + right("parameters", 16) +
                     right("bytes", 13) + "\n";
  text += totals_row("attention", i.attention) + "   each attention shard\n";
  text += totals_row("router", i.router) + "   each router\n";
  text += totals_row("experts", i.experts) + "   all expert shards; one expert of one layer " +
          human(i.expert_bytes) + "\n";
  if (i.mtp.tensors > 0) text += totals_row("mtp", i.mtp) + "\n";
  if (i.unused.tensors > 0) text += totals_row("unused", i.unused) + "   not read\n";
  text += totals_row("total", i.total) + "   in " + std::to_string(i.files) +
          (i.files == 1 ? " file\n" : " files\n");
  text += "\n  " + left("dtype", 12) + right("tensors", 9) + right("parameters", 16) +
          right("bytes", 13) + "\n";
  for (const DTypeTotals& dtype : i.dtypes)
    text += totals_row(std::string(to_string(dtype.dtype)), dtype.totals) + "\n";
  return text;
}

bool look_alike(const LayerTotals& a, const LayerTotals& b) {
  return a.kind == b.kind && a.attention.bytes == b.attention.bytes &&
         a.router.bytes == b.router.bytes && a.experts.bytes == b.experts.bytes;
}

std::string layers_table(const std::vector<LayerTotals>& layers) {
  std::string text = "\n  " + left("layers", 12) + left("kind", 7) + right("attention", 12) +
                     right("router", 12) + right("experts", 12) + "   bytes each\n";
  for (std::size_t first = 0; first < layers.size();) {
    std::size_t last = first;
    while (last + 1 < layers.size() && look_alike(layers[first], layers[last + 1])) ++last;
    const LayerTotals& layer = layers[first];
    const std::string range =
        last == first ? std::to_string(layer.layer)
                      : std::to_string(layer.layer) + ".." + std::to_string(layers[last].layer);
    text += "  " + left(range, 12) + left(layer.kind, 7) + right(human(layer.attention.bytes), 12) +
            right(human(layer.router.bytes), 12) + right(human(layer.experts.bytes), 12) + "\n";
    first = last + 1;
  }
  return text;
}

JsonValue number(std::uint64_t value) { return {static_cast<std::int64_t>(value)}; }

JsonValue totals_value(const TensorTotals& totals) {
  return {JsonValue::Object{{"tensors", number(totals.tensors)},
                            {"parameters", number(totals.parameters)},
                            {"bytes", number(totals.bytes)}}};
}

JsonValue config_value(const ModelConfig& c) {
  const auto whole = [](int value) { return JsonValue{std::int64_t{value}}; };
  return {JsonValue::Object{{"hidden_size", whole(c.hidden_size)},
                            {"num_layers", whole(c.num_layers)},
                            {"num_heads", whole(c.num_heads)},
                            {"q_lora_rank", whole(c.q_lora_rank)},
                            {"kv_lora_rank", whole(c.kv_lora_rank)},
                            {"qk_nope_head_dim", whole(c.qk_nope_head_dim)},
                            {"qk_rope_head_dim", whole(c.qk_rope_head_dim)},
                            {"v_head_dim", whole(c.v_head_dim)},
                            {"intermediate_size", whole(c.intermediate_size)},
                            {"moe_intermediate_size", whole(c.moe_intermediate_size)},
                            {"routed_experts", whole(c.routed_experts)},
                            {"shared_experts", whole(c.shared_experts)},
                            {"experts_per_token", whole(c.experts_per_token)},
                            {"groups", whole(c.groups)},
                            {"groups_kept", whole(c.groups_kept)},
                            {"mtp_layers", whole(c.mtp_layers)},
                            {"vocab_size", whole(c.vocab_size)},
                            {"max_position_embeddings", whole(c.max_position_embeddings)},
                            {"weight_format", {std::string(to_string(c.quantisation.format))}},
                            {"fp8", {c.quantisation.format == WeightFormat::fp8_blocks}},
                            {"scale_fmt_ue8m0", {c.quantisation.scale_fmt_ue8m0}}}};
}

}  // namespace

std::string to_text(const Inspection& inspection) {
  return head(inspection) + roles_table(inspection) + layers_table(inspection.layers);
}

std::string to_json(const Inspection& i) {
  JsonValue::Array layers;
  for (const LayerTotals& layer : i.layers)
    layers.push_back({JsonValue::Object{{"layer", {std::int64_t{layer.layer}}},
                                        {"kind", {layer.kind}},
                                        {"attention", totals_value(layer.attention)},
                                        {"router", totals_value(layer.router)},
                                        {"experts", totals_value(layer.experts)}}});
  JsonValue::Object dtypes;
  for (const DTypeTotals& dtype : i.dtypes)
    dtypes.push_back({std::string(to_string(dtype.dtype)), totals_value(dtype.totals)});
  const JsonValue::Object roles{{"attention", totals_value(i.attention)},
                                {"router", totals_value(i.router)},
                                {"experts", totals_value(i.experts)},
                                {"mtp", totals_value(i.mtp)},
                                {"unused", totals_value(i.unused)}};
  const JsonValue root{JsonValue::Object{{"directory", {i.directory}},
                                         {"revision", {i.revision}},
                                         {"files", number(i.files)},
                                         {"config", config_value(i.config)},
                                         {"has_mtp", {i.has_mtp}},
                                         {"total", totals_value(i.total)},
                                         {"roles", {roles}},
                                         {"expert_bytes", number(i.expert_bytes)},
                                         {"kv_token_bytes", number(i.kv_token_bytes)},
                                         {"kv_fp8_token_bytes", number(i.kv_fp8_token_bytes)},
                                         {"dtypes", {dtypes}},
                                         {"layers", {layers}}}};
  return to_json(root, 2) + "\n";
}

}  // namespace troupe::model
