// Counts multiply-adds and bytes matrix by matrix.
#include "model/step_work.hpp"

#include <algorithm>
#include <string>

#include "model/checkpoint/transposed_weight.hpp"
#include "model/latent_attention.hpp"

namespace troupe::model {
namespace {

/// Values of each kind of matrix in one layer, and how many layers there are of each kind.
struct Counts {
  double attention, absorbed, dense, expert, gate, head;
  double latents;  // of attention, what a cache entry needs
  double layers = 0, dense_layers = 0, moe_layers = 0;

  explicit Counts(const ModelConfig& c) {
    const double hidden = c.hidden_size;
    const double heads = c.num_heads;
    const double queries = heads * c.qk_head_dim();
    const double rank = c.q_lora_rank;
    const double latent = c.kv_lora_rank;
    latents = hidden * (latent + c.qk_rope_head_dim);
    attention = (rank > 0 ? hidden * rank + rank * queries : hidden * queries) + latents +
                heads * c.v_head_dim * hidden;
    absorbed = heads * (c.qk_nope_head_dim + c.v_head_dim) * latent;
    dense = 3 * hidden * c.intermediate_size;
    expert = 3 * hidden * c.moe_intermediate_size;
    gate = hidden * c.routed_experts;
    head = hidden * c.vocab_size;
    layers = c.num_layers;
    for (int layer = 0; layer < c.num_layers; ++layer)
      ++(c.is_moe(layer) ? moe_layers : dense_layers);
  }
};

double power(double base, std::int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2, base *= base)
    if (exponent % 2 != 0) result *= base;
  return result;
}

/// Weights that one step of `rows` tokens reads, logits apart.
double weight_bytes(const ModelConfig& config, const ValueBytes& bytes, std::int64_t rows) {
  const Counts n(config);
  return n.layers * (n.attention * bytes.attention + n.absorbed * bytes.absorbed) +
         n.dense_layers * n.dense * bytes.dense +
         n.moe_layers * (config.shared_experts * n.expert * bytes.dense + n.gate * bytes.gate +
                         experts_used(config, rows) * n.expert * bytes.experts);
}

void add_flops(Work& work, double macs, Products products) {
  work.flops += 2 * macs;
  if (products == Products::bf16) work.bf16_flops += 2 * macs;
  if (products == Products::tiles) work.tile_flops += 2 * macs;
  if (products == Products::int8) work.int8_flops += 2 * macs;
}

/// Those of `rows` tokens outside attention over the cache, logits apart.
void add_rows(Work& work, const ModelConfig& config, double rows, const Arithmetic& how) {
  const Counts n(config);
  add_flops(work, rows * n.layers * n.attention, how.attention);
  add_flops(work, rows * n.layers * n.absorbed, how.absorbed);
  add_flops(work, rows * n.dense_layers * n.dense, how.dense);
  add_flops(work, rows * n.moe_layers * config.shared_experts * n.expert, how.dense);
  add_flops(work, rows * n.moe_layers * config.experts_per_token * n.expert, how.experts);
  add_flops(work, rows * n.moe_layers * n.gate, Products::f32);
}

/// Multiply-adds of one of them.
double token_macs(const ModelConfig& config) {
  Work work;
  add_rows(work, config, 1, {});
  return work.flops / 2;
}

/// Multiply-adds of all heads and layers for one row and one cached position: the score over
/// latent + rope, the value over latent.
double key_macs(const ModelConfig& config) {
  return static_cast<double>(config.num_layers) * config.num_heads *
         (2 * config.kv_lora_rank + config.qk_rope_head_dim);
}

/// One position in all layers.
double position_bytes(const ModelConfig& config, const ValueBytes& bytes) {
  return static_cast<double>(config.num_layers) * (config.kv_lora_rank + config.qk_rope_head_dim) *
         bytes.cache;
}

/// Positions that `n` rows behind `depth` others attend to: depth + 1, depth + 2, ..., depth + n.
double keys_of(std::int64_t n, std::int64_t depth) {
  const auto rows = static_cast<double>(n);
  return rows * static_cast<double>(depth) + rows * (rows + 1) / 2;
}

/// Bytes of a value of the weight `name`, or of its dtype BF16 when there is no such weight.
double stored_bytes(const Checkpoint& checkpoint, const std::string& name) {
  const TensorView* weight = checkpoint.find_weight(name);
  if (weight == nullptr || weight->bytes == 0) return static_cast<double>(bytes_of(DType::bf16));
  const std::int64_t packed = weight->dtype == DType::i32 ? kernels::kCodesPerWord : 1;
  auto bytes = static_cast<double>(weight->bytes);
  for (const char* suffix : {"_scale_inv", "_scale"})
    if (const TensorView* scales = checkpoint.find(name + suffix))
      bytes += static_cast<double>(scales->bytes);
  // AWQ and GPTQ as they are repacked: one word for the scale and the zero point of a group.
  if (weight->name != name)
    if (const TensorView* scales = checkpoint.find(transposed_part(name, "scales")))
      bytes += 4.0 * static_cast<double>(scales->count());
  return bytes / static_cast<double>(packed * weight->count());
}

/// A row of `cols` values shares one F32 scale.
double row_scale(std::int64_t cols) { return 4.0 / static_cast<double>(cols); }

/// W_UK and W_UV in the mean, as derive_absorbed makes them.
double absorbed_bytes(const Checkpoint& checkpoint, const Numerics& numerics) {
  const ModelConfig& config = checkpoint.config();
  const TensorView* kv_b = checkpoint.find("model.layers.0.self_attn.kv_b_proj.weight");
  const DType dtype = absorbed_dtype(kv_b == nullptr ? DType::i32 : kv_b->dtype, config, numerics);
  const auto bytes = static_cast<double>(bytes_of(dtype));
  if (dtype != DType::i8) return bytes;
  const auto nope = static_cast<double>(config.qk_nope_head_dim);
  const auto v = static_cast<double>(config.v_head_dim);
  return bytes + (nope * row_scale(config.qk_nope_head_dim) + v * row_scale(config.kv_lora_rank)) /
                     (nope + v);
}

int first_layer(const ModelConfig& config, bool moe) {
  for (int layer = 0; layer < config.num_layers; ++layer)
    if (config.is_moe(layer) == moe) return layer;
  return 0;
}

/// Names of the first weight of each kind.
struct FirstWeights {
  std::string attention = "model.layers.0.self_attn.o_proj.weight";
  std::string dense, experts, gate;

  explicit FirstWeights(const ModelConfig& config) {
    const auto mlp = [&](bool moe) {
      return "model.layers." + std::to_string(first_layer(config, moe)) + ".mlp.";
    };
    const bool has_dense = !config.is_moe(first_layer(config, false));
    dense =
        has_dense ? mlp(false) + "gate_proj.weight" : mlp(true) + "shared_experts.gate_proj.weight";
    experts = mlp(true) + "experts.0.gate_proj.weight";
    gate = mlp(true) + "gate.weight";
  }
};

}  // namespace

ValueBytes value_bytes_of(const Checkpoint& checkpoint, const Numerics& numerics) {
  const ModelConfig& config = checkpoint.config();
  const FirstWeights first(config);
  ValueBytes bytes;
  bytes.attention = stored_bytes(checkpoint, first.attention);
  bytes.absorbed = absorbed_bytes(checkpoint, numerics);
  bytes.dense = stored_bytes(checkpoint, first.dense);
  bytes.experts = stored_bytes(checkpoint, first.experts);
  bytes.gate = stored_bytes(checkpoint, first.gate);
  bytes.head = derives_int8(config, numerics) ? 1 + row_scale(config.hidden_size)
                                              : stored_bytes(checkpoint, "lm_head.weight");
  const kernels::CacheEntry entry = cache_entry(config, numerics);
  bytes.cache = static_cast<double>(entry.bytes()) / static_cast<double>(entry.width());
  return bytes;
}

Arithmetic arithmetic_of(const Checkpoint& checkpoint, const Numerics& numerics) {
  const ModelConfig& config = checkpoint.config();
  const auto products = [&](const std::string& name) {
    const TensorView* weight = checkpoint.find_weight(name);
    if (weight == nullptr || weight->name.ends_with(".qweight")) return Products::f32;
    const bool codes = weight->dtype == DType::i8 || weight->dtype == DType::i32;
    if (numerics.mode == ActivationMode::int8_act && codes) return Products::int8;
    const bool narrow = weight->dtype == DType::bf16 || weight->dtype == DType::f8_e4m3;
    const bool bf16_rows =
        numerics.mode == ActivationMode::bf16 || numerics.mode == ActivationMode::int8_act;
    if (narrow && numerics.bf16_sums() == kernels::Bf16Sums::tiles) return Products::tiles;
    return narrow && bf16_rows ? Products::bf16 : Products::f32;
  };
  const FirstWeights first(config);
  const bool derived = derives_int8(config, numerics);
  Arithmetic how;
  how.attention = products(first.attention);
  const bool tiles = numerics.bf16_sums() == kernels::Bf16Sums::tiles;
  how.absorbed = derived ? Products::int8 : tiles ? Products::tiles : Products::f32;
  how.dense = products(first.dense);
  how.experts = products(first.experts);
  how.head = derived ? Products::int8 : products("lm_head.weight");
  return how;
}

ParameterCounts parameter_counts(const ModelConfig& config) {
  const Counts n(config);
  const double experts = config.routed_experts - config.experts_per_token;
  const double per_token = token_macs(config) + n.head;
  return {per_token + n.head + n.moe_layers * experts * n.expert, per_token};
}

double experts_used(const ModelConfig& config, std::int64_t rows) {
  if (config.routed_experts == 0) return 0;
  const double experts = config.routed_experts;
  return experts * (1 - power(1 - config.experts_per_token / experts, rows));
}

Work prompt_work(const ModelConfig& config, const ValueBytes& bytes, const PromptShape& shape,
                 const Arithmetic& how) {
  const std::int64_t rows = shape.sequences * shape.tokens;
  if (rows <= 0) return {};
  const std::int64_t steps = (rows + shape.step_rows - 1) / shape.step_rows;
  const auto prompts = static_cast<double>(shape.sequences);
  ModelConfig others = config;  // without the last layer, of which only cache entries are made
  --others.num_layers;
  const Counts last(config);
  Work work;
  work.weight_bytes =
      static_cast<double>(steps) *
      (weight_bytes(others, bytes, (rows + steps - 1) / steps) + last.latents * bytes.attention);
  for (std::int64_t end = 0; end < shape.tokens;) {
    end = std::min(end + shape.step_rows, shape.tokens);
    const auto positions = static_cast<double>(shape.depth + end);
    work.cache_bytes += prompts * positions * position_bytes(others, bytes);
  }
  add_rows(work, others, static_cast<double>(rows), how);
  add_flops(work, static_cast<double>(rows) * last.latents, how.attention);
  add_flops(work, prompts * keys_of(shape.tokens, shape.depth) * key_macs(others), Products::f32);
  return work;
}

Work generation_work(const ModelConfig& config, const ValueBytes& bytes,
                     const GenerationShape& shape, const Arithmetic& how) {
  const Counts n(config);
  const auto steps = static_cast<double>(shape.tokens);
  const auto sequences = static_cast<double>(shape.sequences);
  const double positions = sequences * keys_of(shape.tokens, shape.depth);
  Work work;
  work.weight_bytes = steps * (weight_bytes(config, bytes, shape.sequences) + n.head * bytes.head);
  work.cache_bytes = positions * position_bytes(config, bytes);
  add_rows(work, config, steps * sequences, how);
  add_flops(work, steps * sequences * n.head, how.head);
  add_flops(work, positions * key_macs(config), Products::f32);
  return work;
}

}  // namespace troupe::model
