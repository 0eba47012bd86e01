// The attention shard's stages, written from engine operations.
#include "model/attention_model.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "model/checkpoint/mapped_files.hpp"
#include "model/checkpoint/tensor_plan.hpp"
#include "model/derived_matrix.hpp"
#include "model/latent_attention.hpp"
#include "model/linear_layer.hpp"
#include "model/rope.hpp"
#include "model/weight_loader.hpp"

namespace troupe::model {
namespace {

const std::string kHead = "lm_head.weight";

std::string attention_prefix(int layer) { return layer_prefix(layer) + "self_attn."; }

struct LayerWeights {
  std::vector<float> input_norm;           // [H]
  std::vector<float> post_attention_norm;  // [H]
  LatentAttentionWeights attention;
  MlpWeights feed_forward;  // dense layers: the MLP; MoE layers: the shared expert
};

// Row `token` of an embedding table as F32.
void copy_row(const kernels::KernelTable& table, const kernels::WeightMatrix& weight,
              std::int64_t row, float* out) {
  const std::byte* data = weight.data + row * weight.row_bytes();
  if (weight.dtype == DType::bf16) {
    table.unpack_bf16(data, out, weight.cols);
  } else {
    std::memcpy(out, data, static_cast<std::size_t>(weight.row_bytes()));
  }
}

}  // namespace

struct AttentionModel::Weights {
  ModelConfig config;
  Numerics numerics;
  kernels::Engine engine;
  RopeTable rope;
  float softmax_scale = 0;
  kernels::WeightMatrix embedding;  // [V, H]
  kernels::WeightMatrix head;       // [V, H], as stored or a view of derived_head
  DerivedMatrix derived_head;
  std::vector<float> final_norm;  // [H]
  std::vector<LayerWeights> layers;
  WeightFiles files;
  std::vector<RepackedWeight> repacked;
  mutable ScratchPool scratch;  // of `logits`, which has no state to write to

  explicit Weights(const ModelConfig& c) : config(c), rope(c) {}
  /// Makes what is not read as it is stored. *Errors*: `malformed`.
  Expected<void> derive();
  Compute compute(Scratch& memory) const {
    return {engine, numerics, config.quantisation.scale_fmt_ue8m0, memory};
  }
};

namespace {

// A weight that INT8 cannot hold.
Unexpected derived_error(const std::string& tensor, const Error& error) {
  return unexpected(error.code, "tensor " + tensor + " " + error.detail +
                                    ", which INT8 cannot hold; --mode bf16 takes it as it is");
}

// Lets the kernel take back a mapped weight that nobody reads any more: where it was copied it is
// zeros from now on.
void forget_weight(const kernels::WeightMatrix& w) {
  forget({w.data, static_cast<std::size_t>(w.bytes())});
}

}  // namespace

Expected<void> AttentionModel::Weights::derive() {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    kernels::WeightMatrix& kv_b = layers[i].attention.kv_b;
    if (const auto done = derive_absorbed(layers[i].attention, config, numerics, engine); !done)
      return derived_error(attention_prefix(static_cast<int>(i)) + "kv_b_proj.weight",
                           done.error());
    // Nobody reads kv_b any more: a copy of it would lie around.
    const auto copies = std::erase_if(
        repacked, [&](const RepackedWeight& copy) { return copy.matrix().data == kv_b.data; });
    if (copies == 0) forget_weight(kv_b);
    kv_b = {};
  }
  if (!derives_int8(config, numerics)) return {};
  auto rows = int8_rows_of(head, engine);
  if (!rows) return derived_error(kHead, rows.error());
  derived_head = *std::move(rows);
  forget_weight(head);
  head = derived_head.view();
  return {};
}

AttentionModel::AttentionModel(std::unique_ptr<Weights> weights) : weights_(std::move(weights)) {}
AttentionModel::AttentionModel(AttentionModel&&) noexcept = default;
AttentionModel::~AttentionModel() = default;
const ModelConfig& AttentionModel::config() const { return weights_->config; }
Numerics AttentionModel::numerics() const { return weights_->numerics; }

namespace {

LayerWeights load_layer(WeightLoader& loader, const ModelConfig& config, int layer) {
  const std::string prefix = layer_prefix(layer);
  const std::int64_t hidden = config.hidden_size;
  LayerWeights w;
  w.input_norm = loader.vector(prefix + "input_layernorm.weight", hidden);
  w.post_attention_norm = loader.vector(prefix + "post_attention_layernorm.weight", hidden);
  w.attention = load_latent_attention(loader, config, attention_prefix(layer));
  if (!config.is_moe(layer)) {
    w.feed_forward = loader.mlp(prefix + "mlp.", hidden, config.intermediate_size);
  } else if (config.shared_experts > 0) {
    w.feed_forward =
        loader.mlp(prefix + "mlp.shared_experts.", hidden, config.shared_intermediate_size());
  }
  return w;
}

}  // namespace

Expected<AttentionModel> AttentionModel::load(const Checkpoint& checkpoint, Numerics numerics,
                                              const kernels::Engine& engine,
                                              LoadProgress* progress) {
  const ModelConfig& config = checkpoint.config();
  auto w = std::make_unique<Weights>(config);
  w->numerics = numerics;
  w->engine = numerics.engine_of(engine);
  w->softmax_scale = softmax_scale(config);
  WeightLoader loader(checkpoint, engine, progress);
  w->embedding = loader.matrix("model.embed_tokens.weight", config.vocab_size, config.hidden_size);
  w->head = loader.matrix(kHead, config.vocab_size, config.hidden_size);
  w->final_norm = loader.vector("model.norm.weight", config.hidden_size);
  for (int layer = 0; layer < config.num_layers; ++layer)
    w->layers.push_back(load_layer(loader, config, layer));
  w->files = loader.take_files();
  loader.scan();
  if (loader.error()) return unexpected(*loader.error());
  w->repacked = loader.take_repacked();
  if (const auto derived = w->derive(); !derived) return unexpected(derived.error());
  return AttentionModel(std::move(w));
}

std::int64_t AttentionModel::derived_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& layer : weights_->layers)
    bytes += layer.attention.w_uk.bytes() + layer.attention.w_uv.bytes();
  bytes += weights_->derived_head.bytes();
  for (const RepackedWeight& copy : weights_->repacked) bytes += copy.bytes();
  return bytes;
}

KvPool::Shape AttentionModel::kv_shape(std::int64_t pages_max) const {
  const ModelConfig& config = weights_->config;
  return {config.num_layers, cache_entry(config, weights_->numerics), pages_max};
}

void AttentionModel::embed(StepState& state) const {
  const Weights& w = *weights_;
  const std::int64_t rows = state.batch.rows();
  const std::int64_t hidden = w.config.hidden_size;
  const std::int64_t half = w.config.qk_rope_head_dim / 2;
  for (auto* buffer : {&state.x, &state.u, &state.shared, &state.combined})
    buffer->resize(static_cast<std::size_t>(rows * hidden));
  state.cos.resize(static_cast<std::size_t>(rows * half));
  state.sin.resize(static_cast<std::size_t>(rows * half));
  for (std::int64_t row = 0; row < rows; ++row)
    copy_row(*w.engine.table, w.embedding, state.batch.tokens[static_cast<std::size_t>(row)],
             state.x.data() + row * hidden);
  state.scratch.reset();
  round_rows(w.compute(state.scratch), state.x.data(), rows, hidden, hidden);
  std::int64_t row = 0;
  for (const auto& slice : state.batch.slices)
    for (std::int64_t i = 0; i < slice.rows; ++i, ++row)
      w.rope.rotation(slice.first_position + i, state.cos.data() + row * half,
                      state.sin.data() + row * half);
}

void AttentionModel::attention(std::int64_t layer, StepState& state, const KvPool& pool) const {
  std::vector<std::int64_t> all(static_cast<std::size_t>(state.batch.rows()));
  std::iota(all.begin(), all.end(), 0);
  attention_of(all, layer, state, pool);
}

void AttentionModel::attention_of(std::span<const std::int64_t> kept, std::int64_t layer,
                                  StepState& state, const KvPool& pool) const {
  const Weights& w = *weights_;
  const LayerWeights& weights = w.layers[static_cast<std::size_t>(layer)];
  const std::int64_t hidden = w.config.hidden_size;
  state.scratch.reset();
  const Compute compute = w.compute(state.scratch);
  kernels::RmsNormArgs norm{.x = state.x.data(),
                            .x_stride = hidden,
                            .w = weights.input_norm.data(),
                            .y = state.u.data(),
                            .y_stride = hidden,
                            .rows = state.batch.rows(),
                            .width = hidden,
                            .eps = w.config.rms_norm_eps,
                            .round_to_bf16 = w.numerics.rounds_to_bf16()};
  w.engine.rms_norm(norm);
  const LatentAttentionInput input{.layer = layer, .pool = pool, .state = state};
  LinearInput u = normed_rows(w.config, state);
  write_latents(compute, w.config, weights.attention, input, u);
  if (std::ssize(kept) < norm.rows) {
    keep_rows(state, kept);
    u = normed_rows(w.config, state);
  }
  const std::int64_t rows = norm.rows = state.batch.rows();
  if (rows == 0) return;
  float* attended = state.scratch.take(rows * hidden);
  latent_attention(compute, w.config, weights.attention, w.softmax_scale, input, u, attended);
  add_rows(compute, state.x.data(), attended, rows, hidden);
  norm.w = weights.post_attention_norm.data();
  w.engine.rms_norm(norm);
}

void AttentionModel::dense_ffn(std::int64_t layer, StepState& state) const {
  const Weights& w = *weights_;
  const std::int64_t rows = state.batch.rows();
  const std::int64_t hidden = w.config.hidden_size;
  state.scratch.reset();
  const Compute compute = w.compute(state.scratch);
  float* y = state.scratch.take(rows * hidden);
  mlp(compute, w.layers[static_cast<std::size_t>(layer)].feed_forward,
      {.x = state.u.data(), .stride = hidden, .tokens = rows, .width = hidden}, y);
  add_rows(compute, state.x.data(), y, rows, hidden);
}

void AttentionModel::shared_expert(std::int64_t layer, StepState& state) const {
  const Weights& w = *weights_;
  if (w.config.shared_experts == 0) {
    std::fill(state.shared.begin(), state.shared.end(), 0.0f);
    return;
  }
  const std::int64_t hidden = w.config.hidden_size;
  state.scratch.reset();
  mlp(w.compute(state.scratch), w.layers[static_cast<std::size_t>(layer)].feed_forward,
      {.x = state.u.data(), .stride = hidden, .tokens = state.batch.rows(), .width = hidden},
      state.shared.data());
}

void AttentionModel::finish_moe(StepState& state) const {
  const Weights& w = *weights_;
  const std::int64_t rows = state.batch.rows();
  const std::int64_t hidden = w.config.hidden_size;
  const Compute compute = w.compute(state.scratch);
  // combined + shared in F32, unrounded; then into the residual with one rounding.
  w.engine.table->add(state.combined.data(), state.shared.data(), rows * hidden, false);
  add_rows(compute, state.x.data(), state.combined.data(), rows, hidden);
}

void AttentionModel::logits(const StepState& state, std::span<const std::int64_t> rows,
                            float* out) const {
  const Weights& w = *weights_;
  const std::int64_t hidden = w.config.hidden_size;
  const auto count = static_cast<std::int64_t>(rows.size());
  const auto lease = w.scratch.lease();
  float* normed = (*lease).take(count * hidden);
  for (std::int64_t i = 0; i < count; ++i)
    std::copy_n(state.x.data() + rows[static_cast<std::size_t>(i)] * hidden, hidden,
                normed + i * hidden);
  w.engine.rms_norm({.x = normed,
                     .x_stride = hidden,
                     .w = w.final_norm.data(),
                     .y = normed,
                     .y_stride = hidden,
                     .rows = count,
                     .width = hidden,
                     .eps = w.config.rms_norm_eps,
                     .round_to_bf16 = w.numerics.rounds_to_bf16()});
  LinearInput input{.x = normed, .stride = hidden, .tokens = count, .width = hidden};
  quantise_for(w.compute(*lease), w.head, input);
  w.engine.linear(linear_args(input, w.head, out, w.config.vocab_size));
  // Nothing leaves an attention shard but through here: one look covers the whole step.
  w.files.end_process_if_truncated();
}

}  // namespace troupe::model
