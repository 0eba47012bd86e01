// Reads config.json into a ModelConfig, with the defaults and checks of specification 1.2 and 1.3.
#include "model/config/model_config.hpp"

#include <string>

#include "model/checkpoint/files.hpp"
#include "model/config/config_reader.hpp"
#include "model/config/refusals.hpp"

namespace troupe::model {
namespace {

constexpr std::uint64_t kConfigBytesMax = 16 << 20;  // published ones have 2 to 30 kB

void read_attention(ConfigReader& reader, TensorEvidence evidence, ModelConfig& config) {
  constexpr IntRange kHeadDim{1, 1 << 14};
  config.num_heads = reader.require_int("num_attention_heads", {1, 1 << 14});
  config.kv_lora_rank = reader.require_int("kv_lora_rank", {1, 1 << 20});
  config.qk_nope_head_dim = reader.require_int("qk_nope_head_dim", kHeadDim);
  config.qk_rope_head_dim = reader.require_int("qk_rope_head_dim", kHeadDim);
  config.v_head_dim = reader.require_int("v_head_dim", kHeadDim);
  if (config.qk_rope_head_dim % 2 != 0)
    reader.fail(Errc::malformed, "qk_rope_head_dim is " + std::to_string(config.qk_rope_head_dim) +
                                     ", but RoPE rotates pairs: it must be even");
  // null says "one q_proj"; silence says so only if the weights agree (1.2).
  if (reader.mentions("q_lora_rank") || evidence.q_proj)
    config.q_lora_rank = reader.int_or("q_lora_rank", 0, {1, 1 << 20});
  else
    config.q_lora_rank = reader.require_int("q_lora_rank", {1, 1 << 20});
}

void check_groups(ConfigReader& reader, const ModelConfig& config) {
  const int experts = config.routed_experts;
  const auto fail = [&](const std::string& why) { reader.fail(Errc::malformed, why); };
  if (experts % config.groups != 0)
    return fail("n_routed_experts " + std::to_string(experts) + " is not divisible by n_group " +
                std::to_string(config.groups));
  const int group_size = experts / config.groups;
  if (config.groups > 1 && group_size < 2)
    fail("n_group " + std::to_string(config.groups) +
         " leaves one expert per group, but groups are compared by their two best");
  if (config.groups_kept > config.groups)
    fail("topk_group " + std::to_string(config.groups_kept) + " exceeds n_group " +
         std::to_string(config.groups));
  if (config.experts_per_token > group_size * config.groups_kept)
    fail("num_experts_per_tok " + std::to_string(config.experts_per_token) + " exceeds the " +
         std::to_string(group_size * config.groups_kept) + " experts of the kept groups");
}

void read_experts(ConfigReader& reader, ModelConfig& config) {
  constexpr IntRange kExperts{1, 1 << 16};
  config.routed_experts = reader.require_int("n_routed_experts", kExperts);
  config.experts_per_token = reader.require_int("num_experts_per_tok", kExperts);
  config.moe_intermediate_size = reader.require_int("moe_intermediate_size", {1, 1 << 20});
  config.route_scale = static_cast<float>(reader.require_positive("routed_scaling_factor"));
  config.shared_experts = reader.int_or("n_shared_experts", 1, {0, 1 << 10});
  if (reader.mentions("n_shared_experts") && !reader.has("n_shared_experts"))
    config.shared_experts = 0;  // null
  config.groups = reader.int_or("n_group", 1, kExperts);
  config.groups_kept = reader.int_or("topk_group", 1, kExperts);
  config.norm_topk_prob = reader.bool_or("norm_topk_prob", true);
  config.first_k_dense = reader.int_or("first_k_dense_replace", 3, {0, 1 << 16});
  config.moe_layer_freq = reader.int_or("moe_layer_freq", 1, {1, 1 << 16});
  if (reader.ok()) check_groups(reader, config);
}

/// What one spelling of the RoPE settings says.
struct Rope {
  std::optional<double> theta;
  std::optional<Yarn> yarn;
  friend bool operator==(const Rope&, const Rope&) = default;
};

Yarn read_yarn(ConfigReader& reader) {
  Yarn yarn;
  yarn.factor = reader.require_positive("factor");
  yarn.original_max_position_embeddings = reader.require_int("original_max_position_embeddings");
  yarn.beta_fast = reader.positive_or("beta_fast", 32);
  yarn.beta_slow = reader.positive_or("beta_slow", 1);
  yarn.mscale = reader.non_negative_or("mscale", 1);
  yarn.mscale_all_dim = reader.non_negative_or("mscale_all_dim", 0);
  if (yarn.factor < 1) reader.fail(Errc::malformed, reader.name("factor") + " is below 1");
  for (const char* key : {"attention_factor", "truncate"})
    if (reader.has(key))
      reader.fail(Errc::unsupported, reader.name(key) + " is not part of DeepSeek-V3's YaRN");
  return yarn;
}

Rope read_rope_object(ConfigReader& outer, std::string_view key) {
  Rope rope;
  if (!outer.has(key)) return rope;
  ConfigReader reader(*outer.find(key), std::string(key) + ".");
  if (reader.ok()) {
    const char* type_key = reader.has("rope_type") ? "rope_type" : "type";
    const std::string type = reader.require_string(type_key);
    if (reader.has("rope_theta")) rope.theta = reader.require_positive("rope_theta");
    if (type == "yarn")
      rope.yarn = read_yarn(reader);
    else if (type != "default")
      reader.fail(Errc::unsupported, reader.name(type_key) + " " + type +
                                         " is not supported: the V3 family has yarn or none");
  }
  outer.adopt(reader);
  return rope;
}

void read_rope(ConfigReader& reader, ModelConfig& config) {
  const Rope scaling = read_rope_object(reader, "rope_scaling");
  const Rope parameters = read_rope_object(reader, "rope_parameters");
  if (reader.has("rope_scaling") && reader.has("rope_parameters") &&
      scaling.yarn != parameters.yarn)
    reader.fail(Errc::malformed, "rope_scaling and rope_parameters contradict each other");
  config.yarn = parameters.yarn ? parameters.yarn : scaling.yarn;
  std::optional<double> theta;
  if (reader.has("rope_theta")) theta = reader.require_positive("rope_theta");
  for (const auto& other : {scaling.theta, parameters.theta}) {
    if (theta && other && *theta != *other)
      reader.fail(Errc::malformed, "rope_theta has two different values");
    if (other) theta = other;
  }
  config.rope_theta = theta.value_or(10000);
  if (config.rope_theta <= 1)
    reader.fail(Errc::malformed, "rope_theta must be above 1: it is the base of a logarithm");
}

int read_token_id(ConfigReader& reader, const JsonValue& value, std::string_view key, int vocab) {
  const auto id = value.integer();
  if (id && *id >= 0 && *id < vocab) return static_cast<int>(*id);
  reader.fail(Errc::malformed, std::string(key) + " " + to_json(value) +
                                   " is not a token id below vocab_size " + std::to_string(vocab));
  return 0;
}

void read_token_ids(ConfigReader& reader, ModelConfig& config) {
  constexpr const char* kBos = "bos_token_id";
  constexpr const char* kEos = "eos_token_id";
  const JsonValue* bos = reader.find(kBos);
  if (bos == nullptr)
    config.bos_token_id = 0;
  else if (!bos->is_null())
    config.bos_token_id = read_token_id(reader, *bos, kBos, config.vocab_size);
  const JsonValue* eos = reader.find(kEos);
  if (eos == nullptr) {
    config.eos_token_ids = {1};
  } else if (const JsonValue::Array* ids = eos->array()) {
    for (const JsonValue& id : *ids)
      config.eos_token_ids.push_back(read_token_id(reader, id, kEos, config.vocab_size));
  } else if (!eos->is_null()) {
    config.eos_token_ids = {read_token_id(reader, *eos, kEos, config.vocab_size)};
  }
}

void read_sizes(ConfigReader& reader, ModelConfig& config) {
  config.hidden_size = reader.require_int("hidden_size", {1, 1 << 20});
  config.num_layers = reader.require_int("num_hidden_layers", {1, 1 << 12});
  config.intermediate_size = reader.require_int("intermediate_size");
  config.vocab_size = reader.require_int("vocab_size");
  config.mtp_layers = reader.int_or("num_nextn_predict_layers", 0, {0, 64});
  config.max_position_embeddings = reader.int_or("max_position_embeddings", 4096, {1, 1 << 28});
  config.rms_norm_eps = static_cast<float>(reader.positive_or("rms_norm_eps", 1e-6));
}

}  // namespace

Expected<ModelConfig> parse_config(std::string_view json, TensorEvidence evidence) {
  const Expected<JsonValue> root = parse_json(json);
  if (!root) return unexpected(root.error());
  ConfigReader reader(*root);
  ModelConfig config;
  if (reader.ok()) refuse_other_architectures(reader);
  if (reader.ok()) config.quantisation = read_quantisation(reader);
  if (reader.ok()) read_sizes(reader, config);
  if (reader.ok()) read_attention(reader, evidence, config);
  if (reader.ok()) read_experts(reader, config);
  if (reader.ok()) refuse_unserved_settings(reader);
  if (reader.ok()) read_rope(reader, config);
  if (reader.ok()) read_token_ids(reader, config);
  if (!reader.ok()) return unexpected(reader.error());
  return config;
}

Expected<ModelConfig> load_config(const std::filesystem::path& dir, TensorEvidence evidence) {
  const std::filesystem::path file = dir / "config.json";
  const Expected<std::string> text = read_text_file(file, kConfigBytesMax);
  if (!text && text.error().code == Errc::not_found)
    return unexpected(Errc::not_found, text.error().detail +
                                           ". Name the directory that holds config.json and the "
                                           "weights");
  if (!text) return unexpected(text.error());
  Expected<ModelConfig> config = parse_config(*text, evidence);
  if (!config) return at(file, config.error());
  return config;
}

}  // namespace troupe::model
