// The reasons for which a config.json is refused.
#include "model/config/refusals.hpp"

#include <array>
#include <utility>

namespace troupe::model {
namespace {

using Reason = std::pair<std::string_view, std::string_view>;

constexpr std::string_view kDsa =
    "DeepSeek-V3.2 selects keys with a sparse-attention indexer (DSA), which Troupe does not have";
constexpr std::string_view kV2 =
    "DeepSeek-V2 routes by softmax with another group rule, which Troupe does not have";
constexpr std::string_view kV4 =
    "DeepSeek-V4 has hyper-connections and compressed attention, which Troupe does not have";
constexpr std::string_view kNested =
    "Kimi K2.5 nests its language model in text_config, which Troupe does not read yet";

constexpr std::array<Reason, 7> kModelTypes{{
    {"deepseek_v32", kDsa},
    {"deepseek_v2", kV2},
    {"deepseek_v4", kV4},
    {"kimi_k25", kNested},
    {"glm_moe_dsa", "GLM-5 has a sparse-attention indexer (DSA), which Troupe does not have"},
    {"kimi_linear", "Kimi Linear has linear attention, which Troupe does not have"},
    {"youtu", "Youtu is dense; Troupe serves mixtures of experts"},
}};

constexpr std::array<Reason, 4> kArchitectures{{
    {"DeepseekV32ForCausalLM", kDsa},
    {"DeepseekV2ForCausalLM", kV2},
    {"DeepseekV4ForCausalLM", kV4},
    {"KimiK25ForConditionalGeneration", kNested},
}};

constexpr std::array<Reason, 8> kKeys{{
    {"index_topk", kDsa},
    {"index_n_heads", kDsa},
    {"index_head_dim", kDsa},
    {"hc_mult", kV4},
    {"compress_ratios", kV4},
    {"o_lora_rank", kV4},
    {"linear_attn_config", "linear attention is something that Troupe does not have"},
    {"text_config", kNested},
}};

template <std::size_t N>
std::string reason_for(const std::array<Reason, N>& reasons, std::string_view what) {
  for (const auto& [name, reason] : reasons)
    if (name == what) return std::string(reason);
  return "Troupe serves the DeepSeek-V3 architecture (model_type deepseek_v3 or kimi_k2)";
}

std::string first_architecture(ConfigReader& reader) {
  if (!reader.has("architectures")) return "";
  const JsonValue::Array* names = reader.find("architectures")->array();
  if (names == nullptr || names->empty() || names->front().string() == nullptr) {
    reader.fail(Errc::malformed, "architectures is not a list of names");
    return "";
  }
  return *names->front().string();
}

void refuse(ConfigReader& reader, std::string_view what, std::string_view why) {
  reader.fail(Errc::unsupported, std::string(what) + " is not supported: " + std::string(why));
}

}  // namespace

void refuse_other_architectures(ConfigReader& reader) {
  const std::string model_type = reader.string_or("model_type", "");
  const std::string architecture = first_architecture(reader);
  if (!model_type.empty() && model_type != "deepseek_v3" && model_type != "kimi_k2")
    return refuse(reader, "model_type " + model_type, reason_for(kModelTypes, model_type));
  for (const auto& [key, reason] : kKeys)
    if (reader.mentions(key)) return refuse(reader, "the key " + std::string(key), reason);
  if (!architecture.empty() && architecture != "DeepseekV3ForCausalLM")
    return refuse(reader, "the architecture " + architecture,
                  reason_for(kArchitectures, architecture));
  if (model_type.empty() && architecture.empty())
    reader.fail(Errc::malformed, "the required key model_type is missing");
}

void refuse_unserved_settings(ConfigReader& reader) {
  if (reader.bool_or("attention_bias", false))
    refuse(reader, "attention_bias true", "published V3 models have no biases in attention");
  if (reader.bool_or("tie_word_embeddings", false))
    refuse(reader, "tie_word_embeddings true", "lm_head.weight must be a tensor of its own");
  if (!reader.bool_or("rope_interleave", true))
    refuse(reader, "rope_interleave false",
           "Troupe rotates interleaved pairs, as the published weights have them");
  const std::string activation = reader.string_or("hidden_act", "silu");
  if (activation != "silu") refuse(reader, "hidden_act " + activation, "the experts are SwiGLU");
  const std::string scoring = reader.require_string("scoring_func");
  if (scoring != "sigmoid")
    refuse(reader, "scoring_func " + scoring, "V3 routes by sigmoid; softmax is DeepSeek-V2's");
  const std::string method = reader.require_string("topk_method");
  if (method != "noaux_tc")
    refuse(reader, "topk_method " + method, "V3 selects with a correction bias (noaux_tc)");
}

}  // namespace troupe::model
