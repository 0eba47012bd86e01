// Multi-head latent attention of one layer, absorbed form: weights and the computation.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "model/config/model_config.hpp"
#include "model/derived_matrix.hpp"
#include "model/linear_layer.hpp"
#include "model/step.hpp"
#include "model/weight_loader.hpp"

namespace troupe::model {

/// H hidden, N heads, R kv_lora_rank, D nope + rope.
struct LatentAttentionWeights {
  kernels::WeightMatrix q_a;     // [q_lora, H], unless q_lora_rank is 0
  std::vector<float> q_a_norm;   // [q_lora]
  kernels::WeightMatrix q_b;     // [N * D, q_lora], or q_proj [N * D, H]
  kernels::WeightMatrix kv_a;    // [R + rope, H]
  std::vector<float> kv_a_norm;  // [R]
  kernels::WeightMatrix kv_b;    // [N * (nope + v), R], as stored
  kernels::WeightMatrix o;       // [H, N * v]
  DerivedMatrix w_uk;            // [N * R, nope]: per head the transpose of kv_b's nope rows
  DerivedMatrix w_uv;            // [N * v, R]: per head kv_b's v rows
};

/// What a position keeps in one layer.
kernels::CacheEntry cache_entry(const ModelConfig& config, const Numerics& numerics);

/// `prefix` ends in "self_attn.". *Source*: specification 2.2.
LatentAttentionWeights load_latent_attention(WeightLoader& loader, const ModelConfig& config,
                                             const std::string& prefix);

/// What w_uk and w_uv are kept in when kv_b is stored as `kv_b`: INT8 where `derives_int8`, else a
/// stored BF16 or F32; anything else becomes F32 in mode f32 and BF16 in the others.
DType absorbed_dtype(DType kv_b, const ModelConfig& config, const Numerics& numerics);

/// Fills w_uk and w_uv from kv_b, dequantised and rounded once where that is not its dtype.
/// *Errors*: `malformed` for a value that INT8 cannot hold. *Source*: specification 3.3, absorbed
/// form; design 7.
Expected<void> derive_absorbed(LatentAttentionWeights& weights, const ModelConfig& config,
                               const Numerics& numerics, const kernels::Engine& engine);

/// Where the rows of a step live.
struct LatentAttentionInput {
  std::int64_t layer = 0;
  const KvPool& pool;
  const StepState& state;  // u [rows, H] normed rows, rotations, slices
};

/// u of `state`, as the projections of queries and latents read them.
LinearInput normed_rows(const ModelConfig& config, const StepState& state);

/// Writes the cache entries of the step's rows `u`, quantised here where W_KV_A wants them so.
/// *Source*: specification 3.2.
void write_latents(const Compute& compute, const ModelConfig& config,
                   const LatentAttentionWeights& weights, const LatentAttentionInput& input,
                   LinearInput& u);

/// out [rows, H] = attention of the step's rows `u` over their pages, which have the entries of
/// these rows already; F32, before the residual. *Source*: specification 3.2 to 3.6.
void latent_attention(const Compute& compute, const ModelConfig& config,
                      const LatentAttentionWeights& weights, float softmax_scale,
                      const LatentAttentionInput& input, const LinearInput& u, float* out);

}  // namespace troupe::model
