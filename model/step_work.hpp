// What a step must read and compute, from a model's dimensions: what speed is measured against.
#pragma once
#include <cstdint>

#include "model/checkpoint/checkpoint.hpp"
#include "model/config/model_config.hpp"
#include "model/numerics.hpp"

namespace troupe::model {

/// Bytes that one value takes, its share of the scales included.
struct ValueBytes {
  double attention = 2;  // q, kv_a, o projections
  double absorbed = 2;   // W_UK and W_UV, derived at load
  double dense = 2;      // dense and shared feed-forward
  double experts = 2;    // routed
  double gate = 2;
  double head = 2;
  double cache = 2;  // latent cache, a column of an entry
};

/// As the checkpoint stores them and `numerics` derives and caches them; all tensors of a kind are
/// taken to be stored like the first.
ValueBytes value_bytes_of(const Checkpoint& checkpoint, const Numerics& numerics);

/// What multiplies the rows of each kind of matrix: peaks of a machine differ.
enum class Products : std::uint8_t { f32, bf16, tiles, int8 };
struct Arithmetic {
  Products attention = Products::f32;
  Products absorbed = Products::f32;
  Products dense = Products::f32;
  Products experts = Products::f32;
  Products head = Products::f32;
};
/// INT8 where rows and weights are codes, BF16 (tiles in mode bf16-tiles) where both are BF16 or
/// e4m3, else F32, as attention is in every mode and the gate is counted.
Arithmetic arithmetic_of(const Checkpoint& checkpoint, const Numerics& numerics);

/// Weights of the main model, MTP layers and norms left out.
struct ParameterCounts {
  double total = 0;
  /// Multiplied with every token: experts_per_token of the experts, no embedding.
  double per_token = 0;
};
ParameterCounts parameter_counts(const ModelConfig& config);

/// Work of one or many steps. `bytes` are the least that must come from memory: every weight that
/// is used once per step, every cached position once per slice of rows. *Units*: two operations
/// per multiply-add.
struct Work {
  double weight_bytes = 0;
  double cache_bytes = 0;
  double flops = 0;
  double bf16_flops = 0, tile_flops = 0, int8_flops = 0;  // of these

  double bytes() const { return weight_bytes + cache_bytes; }
};

/// Experts of one layer that a step of `rows` tokens is expected to use when routing is uniform:
/// E * (1 - (1 - k / E)^rows).
double experts_used(const ModelConfig& config, std::int64_t rows);

/// `sequences` prompts of `tokens` each behind `depth` cached positions, computed in steps of at
/// most `step_rows` rows; no logits, so of the last layer only cache entries.
struct PromptShape {
  std::int64_t sequences = 1;
  std::int64_t tokens = 0;
  std::int64_t step_rows = 512;
  std::int64_t depth = 0;
};
Work prompt_work(const ModelConfig& config, const ValueBytes& bytes, const PromptShape& shape,
                 const Arithmetic& how = {});

/// `tokens` steps of one row for each of `sequences`, from `depth` cached positions on, logits of
/// every row.
struct GenerationShape {
  std::int64_t sequences = 1;
  std::int64_t tokens = 0;
  std::int64_t depth = 0;
};
Work generation_work(const ModelConfig& config, const ValueBytes& bytes,
                     const GenerationShape& shape, const Arithmetic& how = {});

}  // namespace troupe::model
