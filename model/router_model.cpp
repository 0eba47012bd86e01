// The router's gate and combine.
#include "model/router_model.hpp"

#include <algorithm>
#include <string>

#include "model/linear_layer.hpp"
#include "model/weight_loader.hpp"

namespace troupe::model {

struct RouterModel::Weights {
  struct Gate {
    kernels::WeightMatrix weight;  // [E, H], BF16 or F32
    std::vector<float> bias;       // [E], F32 exactly as stored
    WeightFiles files;
  };
  ModelConfig config;
  Numerics numerics;
  kernels::Engine engine;
  GateRule rule;
  std::vector<Gate> gates;  // [layer], empty for dense layers
  mutable ScratchPool scratch;
};

RouterModel::RouterModel(std::unique_ptr<Weights> weights) : weights_(std::move(weights)) {}
RouterModel::RouterModel(RouterModel&&) noexcept = default;
RouterModel::~RouterModel() = default;
const ModelConfig& RouterModel::config() const { return weights_->config; }

Expected<RouterModel> RouterModel::load(const Checkpoint& checkpoint, Numerics numerics,
                                        const kernels::Engine& engine, LoadProgress* progress) {
  auto w = std::make_unique<Weights>();
  const ModelConfig& config = w->config = checkpoint.config();
  w->numerics = numerics;
  w->engine = numerics.engine_of(engine);
  w->rule = {.experts = config.routed_experts,
             .groups = config.groups,
             .groups_kept = config.groups_kept,
             .experts_per_token = config.experts_per_token,
             .norm_topk_prob = config.norm_topk_prob,
             .route_scale = config.route_scale};
  WeightLoader loader(checkpoint, engine, progress);
  w->gates.resize(static_cast<std::size_t>(config.num_layers));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    if (!config.is_moe(layer)) continue;
    const std::string prefix = "model.layers." + std::to_string(layer) + ".mlp.gate.";
    auto& gate = w->gates[static_cast<std::size_t>(layer)];
    gate.weight = loader.matrix(prefix + "weight", config.routed_experts, config.hidden_size);
    gate.bias = loader.vector(prefix + "e_score_correction_bias", config.routed_experts);
    gate.files = loader.take_files();
  }
  loader.scan();
  if (loader.error()) return unexpected(*loader.error());
  return RouterModel(std::move(w));
}

Routing RouterModel::gate(std::int64_t layer, const float* rows_in, std::int64_t rows) const {
  const Weights& w = *weights_;
  const auto& gate = w.gates[static_cast<std::size_t>(layer)];
  const std::int64_t experts = w.rule.experts;
  const std::int64_t k = w.rule.experts_per_token;
  const auto lease = w.scratch.lease();
  float* scores = (*lease).take(rows * experts);
  const LinearInput input{
      .x = rows_in, .stride = w.config.hidden_size, .tokens = rows, .width = w.config.hidden_size};
  w.engine.linear(linear_args(input, gate.weight, scores, experts));
  Routing routing;
  routing.experts.resize(static_cast<std::size_t>(rows * k));
  routing.weights.resize(static_cast<std::size_t>(rows * k));
  w.engine.pool->parallel_for(rows, 8, [&](std::int64_t begin, std::int64_t end) {
    w.engine.table->sigmoid(scores + begin * experts, scores + begin * experts,
                            (end - begin) * experts);
    for (std::int64_t row = begin; row < end; ++row)
      select_experts(w.rule, scores + row * experts, gate.bias.data(),
                     routing.experts.data() + row * k, routing.weights.data() + row * k);
  });
  gate.files.end_process_if_truncated();
  return routing;
}

void RouterModel::combine(std::span<const float* const> replies, std::span<const float> weights,
                          float* out) const {
  const Weights& w = *weights_;
  const std::int64_t hidden = w.config.hidden_size;
  std::fill_n(out, hidden, 0.0f);
  for (std::size_t i = 0; i < replies.size(); ++i)
    w.engine.table->axpy(out, replies[i], weights[i], hidden);
  if (w.numerics.rounds_to_bf16()) w.engine.table->round_bf16(out, out, hidden);
}

}  // namespace troupe::model
