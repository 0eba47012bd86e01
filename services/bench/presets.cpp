// The three configurations, only what kernels need of them.
#include "services/bench/presets.hpp"

#include <array>

namespace troupe::services {
namespace {

model::ModelConfig deepseek_v3() {
  model::ModelConfig c;
  c.hidden_size = 7168;
  c.num_layers = 61;
  c.num_heads = 128;
  c.q_lora_rank = 1536;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.v_head_dim = 128;
  c.intermediate_size = 18432;
  c.moe_intermediate_size = 2048;
  c.routed_experts = 256;
  c.shared_experts = 1;
  c.experts_per_token = 8;
  c.groups = 8;
  c.groups_kept = 4;
  c.route_scale = 2.5F;
  c.first_k_dense = 3;
  c.vocab_size = 129280;
  c.max_position_embeddings = 163840;
  return c;
}

model::ModelConfig kimi_k2() {
  model::ModelConfig c = deepseek_v3();
  c.num_heads = 64;
  c.routed_experts = 384;
  c.groups = 1;
  c.groups_kept = 1;
  c.route_scale = 2.827F;
  c.first_k_dense = 1;
  c.vocab_size = 163840;
  c.max_position_embeddings = 131072;
  return c;
}

model::ModelConfig bench_1b() {
  model::ModelConfig c = deepseek_v3();
  c.hidden_size = 1024;
  c.num_layers = 12;
  c.num_heads = 16;
  c.q_lora_rank = 512;
  c.intermediate_size = 4096;
  c.moe_intermediate_size = 512;
  c.routed_experts = 64;
  c.experts_per_token = 6;
  c.first_k_dense = 1;
  c.vocab_size = 32000;
  return c;
}

}  // namespace

std::span<const BenchPreset> bench_presets() {
  static const std::array<BenchPreset, 3> all{
      {{"deepseek-v3", deepseek_v3()}, {"kimi-k2", kimi_k2()}, {"bench-1b", bench_1b()}}};
  return all;
}

}  // namespace troupe::services
