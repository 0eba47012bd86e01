// Lists tensor names and shapes from a configuration.
#include "model/checkpoint/tensor_plan.hpp"

namespace troupe::model {
namespace {

struct Plan {
  const ModelConfig& config;
  std::vector<TensorSpec> specs;
  int layer = -1;
  TensorRole role = TensorRole::attention;

  void linear(const std::string& name, std::int64_t rows, std::int64_t cols) {
    specs.push_back({name + ".weight", TensorKind::linear, role, layer, rows, cols});
  }
  void plain(const std::string& name, std::int64_t rows, std::int64_t cols, bool optional = false) {
    specs.push_back({name + ".weight", TensorKind::plain, role, layer, rows, cols, optional});
  }
  void vector(const std::string& name, std::int64_t count) {
    specs.push_back({name, TensorKind::vector, role, layer, count, 0});
  }
  void mlp(const std::string& name, std::int64_t width) {
    linear(name + "gate_proj", width, config.hidden_size);
    linear(name + "up_proj", width, config.hidden_size);
    linear(name + "down_proj", config.hidden_size, width);
  }
};

void add_attention(Plan& plan, const std::string& prefix) {
  const ModelConfig& c = plan.config;
  const std::int64_t heads = c.num_heads;
  const std::string attention = prefix + "self_attn.";
  plan.vector(prefix + "input_layernorm.weight", c.hidden_size);
  if (c.q_lora_rank == 0) {
    plan.linear(attention + "q_proj", heads * c.qk_head_dim(), c.hidden_size);
  } else {
    plan.linear(attention + "q_a_proj", c.q_lora_rank, c.hidden_size);
    plan.vector(attention + "q_a_layernorm.weight", c.q_lora_rank);
    plan.linear(attention + "q_b_proj", heads * c.qk_head_dim(), c.q_lora_rank);
  }
  plan.linear(attention + "kv_a_proj_with_mqa", c.kv_lora_rank + c.qk_rope_head_dim, c.hidden_size);
  plan.vector(attention + "kv_a_layernorm.weight", c.kv_lora_rank);
  plan.linear(attention + "kv_b_proj", heads * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank);
  plan.linear(attention + "o_proj", c.hidden_size, heads * c.v_head_dim);
  plan.vector(prefix + "post_attention_layernorm.weight", c.hidden_size);
}

void add_experts(Plan& plan, const std::string& mlp) {
  const ModelConfig& c = plan.config;
  if (c.shared_experts > 0)
    plan.mlp(mlp + "shared_experts.", std::int64_t{c.shared_experts} * c.moe_intermediate_size);
  plan.role = TensorRole::router;
  plan.plain(mlp + "gate", c.routed_experts, c.hidden_size);
  plan.vector(mlp + "gate.e_score_correction_bias", c.routed_experts);
  plan.role = TensorRole::experts;
  for (int expert = 0; expert < c.routed_experts; ++expert)
    plan.mlp(mlp + "experts." + std::to_string(expert) + ".", c.moe_intermediate_size);
  plan.role = TensorRole::attention;
}

void add_layer(Plan& plan, int layer) {
  const std::string prefix = layer_prefix(layer);
  plan.layer = layer;
  add_attention(plan, prefix);
  if (plan.config.is_moe(layer))
    add_experts(plan, prefix + "mlp.");
  else
    plan.mlp(prefix + "mlp.", plan.config.intermediate_size);
  plan.layer = -1;
}

}  // namespace

std::string_view to_string(TensorRole role) {
  switch (role) {
    case TensorRole::attention: return "attention";
    case TensorRole::router: return "router";
    case TensorRole::experts: return "experts";
  }
  return "unknown";
}

std::string layer_prefix(int layer) { return "model.layers." + std::to_string(layer) + "."; }

std::vector<TensorSpec> main_tensors(const ModelConfig& config) {
  Plan plan{.config = config, .specs = {}};
  plan.plain("model.embed_tokens", config.vocab_size, config.hidden_size);
  for (int layer = 0; layer < config.num_layers; ++layer) add_layer(plan, layer);
  plan.vector("model.norm.weight", config.hidden_size);
  plan.plain("lm_head", config.vocab_size, config.hidden_size);
  return std::move(plan.specs);
}

std::vector<TensorSpec> mtp_tensors(const ModelConfig& config) {
  Plan plan{.config = config, .specs = {}};
  for (int i = 0; i < config.mtp_layers; ++i) {
    const int layer = config.num_layers + i;
    const std::string prefix = layer_prefix(layer);
    add_layer(plan, layer);
    plan.layer = layer;
    plan.plain(prefix + "embed_tokens", config.vocab_size, config.hidden_size, true);
    plan.vector(prefix + "enorm.weight", config.hidden_size);
    plan.vector(prefix + "hnorm.weight", config.hidden_size);
    plan.plain(prefix + "eh_proj", config.hidden_size, 2 * std::int64_t{config.hidden_size});
    plan.vector(prefix + "shared_head.norm.weight", config.hidden_size);
    plan.plain(prefix + "shared_head.head", config.vocab_size, config.hidden_size, true);
  }
  return std::move(plan.specs);
}

}  // namespace troupe::model
