// What config.json says about a DeepSeek-V3 model, checked, in the engine's words.
#pragma once
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/config/quantisation.hpp"

namespace troupe::model {

/// YaRN's parameters. *Source*: specification 3.5 and 3.6.
struct Yarn {
  double factor = 1;
  int original_max_position_embeddings = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;
  double mscale_all_dim = 0;  // 0: the softmax scale is not corrected

  friend bool operator==(const Yarn&, const Yarn&) = default;
};

/// One model's dimensions and constants. `parse_config` makes only values that satisfy every
/// constraint named here, so the engine need not check them again.
/// *Source*: specification 1.1 to 1.3.
struct ModelConfig {
  int hidden_size = 0;
  int num_layers = 0;  // main model; MTP layers have the indices that follow
  int num_heads = 0;
  int q_lora_rank = 0;  // 0: one q_proj instead of q_a_proj and q_b_proj
  int kv_lora_rank = 0;
  int qk_nope_head_dim = 0;
  int qk_rope_head_dim = 0;  // even
  int v_head_dim = 0;

  int intermediate_size = 0;      // dense MLP
  int moe_intermediate_size = 0;  // one routed expert
  int routed_experts = 0;
  int shared_experts = 0;     // one fused MLP of this many times moe_intermediate_size; 0: none
  int experts_per_token = 0;  // <= routed_experts / groups * groups_kept
  int groups = 1;             // divides routed_experts; each has >= 2 experts if there are several
  int groups_kept = 1;        // <= groups
  bool norm_topk_prob = true;
  float route_scale = 1;
  int first_k_dense = 0;
  int moe_layer_freq = 1;
  int mtp_layers = 0;  // as configured; the checkpoint may lack them

  int vocab_size = 0;  // rows of embedding and head, may exceed the tokenizer's
  int max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  float inner_norm_eps = 1e-6f;  // q_a_layernorm and kv_a_layernorm, whatever rms_norm_eps (3.1)
  double rope_theta = 10000;
  std::optional<Yarn> yarn;

  Quantisation quantisation;
  std::optional<int> bos_token_id;
  std::vector<int> eos_token_ids;

  int qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  int shared_intermediate_size() const { return shared_experts * moe_intermediate_size; }
  /// Whether layer `layer` routes to experts; MTP layers (>= num_layers) always do (2.5).
  bool is_moe(int layer) const {
    return layer >= num_layers || (layer >= first_k_dense && layer % moe_layer_freq == 0);
  }

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// What the weights tell where config.json may be silent (1.2).
struct TensorEvidence {
  bool q_proj = false;  // layer 0 has q_proj: an absent q_lora_rank means none
};

/// Parses the text of config.json.
/// *Errors*: `malformed` names the key that is absent, of the wrong kind or out of range;
/// `unsupported` names what Troupe does not serve and why (V2, V3.2, V4, nested text_config,
/// softmax routing, other quantisations, ...).
Expected<ModelConfig> parse_config(std::string_view json, TensorEvidence evidence = {});

/// `parse_config` of `dir`/config.json; errors name the file.
Expected<ModelConfig> load_config(const std::filesystem::path& dir, TensorEvidence evidence = {});

}  // namespace troupe::model
