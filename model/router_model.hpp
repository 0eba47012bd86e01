// What a router computes: the gate over token rows and the weighted sum of expert replies.
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

/// Chosen experts of some rows; K = experts_per_token.
struct Routing {
  std::vector<std::int32_t> experts;  // [rows, K], ascending in each row
  std::vector<float> weights;         // [rows, K], of the same experts, route_scale included
};

/// Gate weights and biases of every MoE layer. *Threading*: const functions from any thread.
class RouterModel {
 public:
  static Expected<RouterModel> load(const Checkpoint& checkpoint, Numerics numerics,
                                    const kernels::Engine& engine,
                                    LoadProgress* progress = nullptr);
  RouterModel(RouterModel&&) noexcept;
  ~RouterModel();
  const ModelConfig& config() const;

  /// Group-limited top-k on biased sigmoid scores; weights from the unbiased ones.
  /// rows_in [rows, H]. Ties: larger first, then lower id. Source: specification 3.8.
  Routing gate(std::int64_t layer, const float* rows_in, std::int64_t rows) const;

  /// out = round(sum over ascending expert id of fma(w, reply, acc)) for one row; `replies[i]`
  /// [H] belongs to expert `i` of the row's K, `weights` [K]. Rounds once in rounding modes.
  void combine(std::span<const float* const> replies, std::span<const float> weights,
               float* out) const;

 private:
  struct Weights;
  explicit RouterModel(std::unique_ptr<Weights> weights);
  std::unique_ptr<Weights> weights_;
};

/// The selection alone, for tests and tools: scores [experts] are sigmoid outputs, bias [experts].
/// Writes K ascending ids and their weights.
struct GateRule {
  std::int64_t experts = 0;
  std::int64_t groups = 1;
  std::int64_t groups_kept = 1;
  std::int64_t experts_per_token = 1;
  bool norm_topk_prob = true;
  float route_scale = 1;
};
void select_experts(const GateRule& rule, const float* scores, const float* bias,
                    std::int32_t* experts, float* weights);

}  // namespace troupe::model
