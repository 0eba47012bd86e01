// What an expert shard computes: SwiGLU of the experts it holds over the rows it is sent.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/expected.hpp"
#include "kernels/engine.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/load_progress.hpp"
#include "model/numerics.hpp"

namespace troupe::model {

/// One row to be computed by one expert. `row` indexes the unique rows of the batch.
struct RowExpert {
  std::int32_t row = 0;
  std::int32_t expert = 0;
};

/// Whether the routed experts are stored with FP8 block scales (all are alike). In mode fp8-act the
/// router then sends quantised rows.
bool experts_are_fp8(const Checkpoint& checkpoint);

/// Routed expert weights of one shard. *Threading*: const functions from any thread.
class ExpertModel {
 public:
  /// Which experts of every MoE layer this shard holds: ids [first, last).
  struct Range {
    std::int64_t first = 0;
    std::int64_t last = 0;
  };
  /// Expert e of E lives on shard floor(e * shards / E): the experts of shard `index` of `count`.
  static Range range_of(std::int64_t index, std::int64_t count, std::int64_t experts);

  /// *Errors*: those of the checkpoint's accessors; NaN codes of the held experts are refused.
  static Expected<ExpertModel> load(const Checkpoint& checkpoint, Numerics numerics,
                                    const kernels::Engine& engine, Range range,
                                    LoadProgress* progress = nullptr);
  ExpertModel(ExpertModel&&) noexcept;
  ~ExpertModel();
  const ModelConfig& config() const;
  bool holds(std::int64_t layer, std::int64_t expert) const;
  /// Bytes of copies made at load (design I5): weights that were repacked.
  std::int64_t derived_bytes() const;

  /// out[i] = expert(pairs[i].expert)(rows[pairs[i].row]), rounded once to the row dtype.
  /// Shapes: rows [unique, H], out [pairs, H]. Pairs in any order; every expert must be held.
  /// In mode fp8-act `rows` are unquantised; when `row_scales` is given they are e4m3 values with
  /// scales [unique, ceil(H/128)] (what the wire carries).
  struct Batch {
    const float* rows = nullptr;
    const float* row_scales = nullptr;
    std::int64_t unique = 0;
    std::span<const RowExpert> pairs;
    float* out = nullptr;
  };
  void run(std::int64_t layer, const Batch& batch) const;
  /// Whether run() wants quantised rows (mode fp8-act and FP8 expert weights).
  bool wants_quantised_rows() const;

 private:
  struct Weights;
  explicit ExpertModel(std::unique_ptr<Weights> weights);
  std::unique_ptr<Weights> weights_;
};

}  // namespace troupe::model
