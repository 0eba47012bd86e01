// What an attention shard computes: embedding, attention, dense and shared feed-forward, head.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "core/expected.hpp"
#include "kernels/engine.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/load_progress.hpp"
#include "model/numerics.hpp"
#include "model/step.hpp"

namespace troupe::model {

/// The attention shard's weights (views of the mapped checkpoint plus derived W_UK/W_UV) and the
/// functions over them. Every function computes a whole stage of a step and returns when done:
/// call it from a compute job.
/// *Threading*: const functions from any thread, several steps at once; one StepState per step.
class AttentionModel {
 public:
  /// `checkpoint` must outlive the model. *Errors*: those of the checkpoint's accessors.
  static Expected<AttentionModel> load(const Checkpoint& checkpoint, Numerics numerics,
                                       const kernels::Engine& engine,
                                       LoadProgress* progress = nullptr);
  AttentionModel(AttentionModel&&) noexcept;
  ~AttentionModel();

  const ModelConfig& config() const;
  Numerics numerics() const;
  /// Bytes of W_UK/W_UV and other copies made at load (design I5).
  std::int64_t derived_bytes() const;
  KvPool::Shape kv_shape(std::int64_t pages_max) const;

  /// x = embedding rows of state.batch.tokens; rotation tables of their positions.
  void embed(StepState& state) const;
  /// x += attention(norm(x)), cache entries of the rows written; u = norm(x) for the feed-forward.
  void attention(std::int64_t layer, StepState& state, const KvPool& pool) const;
  /// The same where `rows`, ascending, are all that the step goes on with: every row's cache entry
  /// is written, then the others are dropped (`keep_rows`). In the last layer these are the rows
  /// that need logits.
  void attention_of(std::span<const std::int64_t> rows, std::int64_t layer, StepState& state,
                    const KvPool& pool) const;
  /// Layers that are not MoE: x += dense(u).
  void dense_ffn(std::int64_t layer, StepState& state) const;
  /// MoE layers: shared = shared expert(u), zero when the model has none. May run while the
  /// routed experts are awaited.
  void shared_expert(std::int64_t layer, StepState& state) const;
  /// MoE layers: x += combined + shared (added in F32 in that order, rounded once).
  void finish_moe(StepState& state) const;
  /// Raw logits of the given rows of x after the last layer. out [rows.size(), vocab_size], F32.
  /// Ends the process with exit code 4 when a weight file has been truncated (design 6); so does
  /// what the other roles compute from mapped weights.
  void logits(const StepState& state, std::span<const std::int64_t> rows, float* out) const;

 private:
  struct Weights;
  explicit AttentionModel(std::unique_ptr<Weights> weights);
  std::unique_ptr<Weights> weights_;
};

}  // namespace troupe::model
