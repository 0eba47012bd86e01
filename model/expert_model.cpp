// The expert shard's grouped SwiGLU.
#include "model/expert_model.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "core/check.hpp"
#include "model/linear_layer.hpp"
#include "model/weight_loader.hpp"

namespace troupe::model {

struct ExpertModel::Weights {
  ModelConfig config;
  Numerics numerics;
  kernels::Engine engine;
  Range range;
  bool fp8 = false;                 // every routed expert is e4m3, or none is
  std::vector<MlpWeights> experts;  // [layer * held + (expert - range.first)]
  std::vector<WeightFiles> files;   // [layer]
  std::vector<RepackedWeight> repacked;
  mutable ScratchPool scratch;

  std::int64_t held() const { return range.last - range.first; }
  const MlpWeights& expert(std::int64_t layer, std::int64_t id) const {
    return experts[static_cast<std::size_t>(layer * held() + id - range.first)];
  }
};

ExpertModel::ExpertModel(std::unique_ptr<Weights> weights) : weights_(std::move(weights)) {}
ExpertModel::ExpertModel(ExpertModel&&) noexcept = default;
ExpertModel::~ExpertModel() = default;
const ModelConfig& ExpertModel::config() const { return weights_->config; }

ExpertModel::Range ExpertModel::range_of(std::int64_t index, std::int64_t count,
                                         std::int64_t experts) {
  const auto first_of = [&](std::int64_t shard) { return (shard * experts + count - 1) / count; };
  return {first_of(index), first_of(index + 1)};
}

bool ExpertModel::holds(std::int64_t layer, std::int64_t expert) const {
  const Weights& w = *weights_;
  return layer >= 0 && layer < w.config.num_layers && w.config.is_moe(static_cast<int>(layer)) &&
         expert >= w.range.first && expert < w.range.last;
}

std::int64_t ExpertModel::derived_bytes() const {
  std::int64_t bytes = 0;
  for (const RepackedWeight& copy : weights_->repacked) bytes += copy.bytes();
  return bytes;
}

bool ExpertModel::wants_quantised_rows() const {
  const Weights& w = *weights_;
  return w.numerics.quantises_to_fp8() && w.fp8;
}

bool experts_are_fp8(const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  for (int layer = 0; layer < config.num_layers; ++layer) {
    if (!config.is_moe(layer)) continue;
    const auto* tensor = checkpoint.find("model.layers." + std::to_string(layer) +
                                         ".mlp.experts.0.gate_proj.weight");
    return tensor != nullptr && tensor->dtype == DType::f8_e4m3;
  }
  return false;
}

Expected<ExpertModel> ExpertModel::load(const Checkpoint& checkpoint, Numerics numerics,
                                        const kernels::Engine& engine, Range range,
                                        LoadProgress* progress) {
  auto w = std::make_unique<Weights>();
  const ModelConfig& config = w->config = checkpoint.config();
  w->numerics = numerics;
  w->engine = numerics.engine_of(engine);
  w->range = range;
  w->experts.resize(static_cast<std::size_t>(config.num_layers * w->held()));
  w->files.resize(static_cast<std::size_t>(config.num_layers));
  WeightLoader loader(checkpoint, engine, progress);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    if (!config.is_moe(layer)) continue;
    for (std::int64_t e = range.first; e < range.last; ++e)
      w->experts[static_cast<std::size_t>(layer * w->held() + e - range.first)] = loader.mlp(
          "model.layers." + std::to_string(layer) + ".mlp.experts." + std::to_string(e) + ".",
          config.hidden_size, config.moe_intermediate_size);
    w->files[static_cast<std::size_t>(layer)] = loader.take_files();
  }
  loader.scan();
  if (loader.error()) return unexpected(*loader.error());
  w->repacked = loader.take_repacked();
  w->fp8 = experts_are_fp8(checkpoint);
  for (const auto& expert : w->experts)
    for (const auto* part : {&expert.gate, &expert.up, &expert.down})
      if (part->data != nullptr && part->takes_quantised_rows() != w->fp8)
        return unexpected(Errc::unsupported,
                          "some routed experts of " + checkpoint.directory().string() +
                              " are F8_E4M3 and some are not; all must be stored alike");
  return ExpertModel(std::move(w));
}

namespace {

// The pairs of one expert, consecutive in the sorted order.
struct Group {
  std::int64_t expert = 0;
  std::int64_t begin = 0;  // into the sorted pairs
  std::int64_t count = 0;
};

std::vector<Group> group_by_expert(std::span<const RowExpert> pairs,
                                   std::vector<std::int32_t>& order) {
  order.resize(pairs.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return pairs[static_cast<std::size_t>(a)].expert < pairs[static_cast<std::size_t>(b)].expert;
  });
  std::vector<Group> groups;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int64_t expert = pairs[static_cast<std::size_t>(order[i])].expert;
    if (groups.empty() || groups.back().expert != expert)
      groups.push_back({expert, static_cast<std::int64_t>(i), 0});
    ++groups.back().count;
  }
  return groups;
}

// Copies row `row` of rows [., width] for every pair, in sorted order, to out [pairs, width].
template <class T>
T* gather(const Compute& compute, const T* rows, std::int64_t width,
          std::span<const RowExpert> pairs, std::span<const std::int32_t> order, T* out) {
  const auto count = static_cast<std::int64_t>(order.size());
  compute.engine.pool->parallel_for(count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto pair = static_cast<std::size_t>(order[static_cast<std::size_t>(i)]);
      std::copy_n(rows + pairs[pair].row * width, width, out + i * width);
    }
  });
  return out;
}

// The part of `input` that belongs to rows [begin, begin + count).
LinearInput slice(const LinearInput& input, const Group& group) {
  LinearInput part = input;
  part.tokens = group.count;
  if (part.x != nullptr) part.x += group.begin * input.stride;
  if (part.e4m3_codes != nullptr) part.e4m3_codes += group.begin * input.width;
  if (part.int8_codes != nullptr)
    part.int8_codes += group.begin * kernels::padded_codes(input.width);
  if (part.scales != nullptr) part.scales += group.begin * kernels::scale_blocks(input.width);
  return part;
}

// Rows of every pair in sorted order: as codes where an expert wants them, plain where one does
// not.
LinearInput pair_inputs(const Compute& compute, const ExpertModel::Batch& batch,
                        std::span<const MlpWeights* const> experts,
                        std::span<const std::int32_t> order) {
  const std::int64_t width = experts.front()->gate.cols;
  LinearInput unique{.x = batch.rows, .stride = width, .tokens = batch.unique, .width = width};
  if (batch.row_scales != nullptr) {
    unique.e4m3_codes = batch.rows;
    unique.scales = batch.row_scales;
  }
  bool reads_plain = false;
  for (const MlpWeights* expert : experts)
    for (const kernels::WeightMatrix* reader : {&expert->gate, &expert->up}) {
      quantise_for(compute, *reader, unique);
      reads_plain |= !unique.has_codes_for(*reader);
    }
  LinearInput x{.stride = width, .tokens = static_cast<std::int64_t>(order.size()), .width = width};
  const auto floats = [&](const float* rows, std::int64_t columns) {
    float* out = compute.scratch.take(x.tokens * columns);
    return gather(compute, rows, columns, batch.pairs, order, out);
  };
  if (reads_plain) x.x = floats(unique.x, width);
  if (unique.e4m3_codes != nullptr) x.e4m3_codes = floats(unique.e4m3_codes, width);
  if (unique.scales != nullptr) x.scales = floats(unique.scales, kernels::scale_blocks(width));
  if (unique.int8_codes != nullptr) {
    const std::int64_t columns = kernels::padded_codes(width);
    std::int8_t* out = compute.scratch.take_int8(x.tokens * columns);
    x.int8_codes = gather(compute, unique.int8_codes, columns, batch.pairs, order, out);
  }
  return x;
}

// gate and up of every group, then silu(gate) * up: [pairs, inner].
float* activate(const Compute& compute, const LinearInput& x, std::span<const Group> groups,
                std::span<const MlpWeights* const> experts) {
  const std::int64_t inner = experts.front()->gate.rows;
  float* gate = compute.scratch.take(x.tokens * inner);
  float* up = compute.scratch.take(x.tokens * inner);
  std::vector<kernels::LinearArgs> linears;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const LinearInput part = slice(x, groups[i]);
    const std::int64_t offset = groups[i].begin * inner;
    linears.push_back(linear_args(part, experts[i]->gate, gate + offset, inner));
    linears.push_back(linear_args(part, experts[i]->up, up + offset, inner));
  }
  compute.engine.linears(linears);
  compute.engine.swiglu({.gate = gate,
                         .up = up,
                         .y = gate,
                         .rows = x.tokens,
                         .width = inner,
                         .round_to_bf16 = compute.numerics.rounds_to_bf16()});
  return gate;
}

}  // namespace

void ExpertModel::run(std::int64_t layer, const Batch& batch) const {
  const Weights& w = *weights_;
  if (batch.pairs.empty()) return;
  const auto lease = w.scratch.lease();
  const Compute compute{w.engine, w.numerics, w.config.quantisation.scale_fmt_ue8m0, *lease};
  std::vector<std::int32_t> order;
  const auto groups = group_by_expert(batch.pairs, order);
  std::vector<const MlpWeights*> experts;
  for (const auto& group : groups) experts.push_back(&w.expert(layer, group.expert));

  const std::int64_t hidden = w.config.hidden_size;
  const std::int64_t inner = w.config.moe_intermediate_size;
  const LinearInput x = pair_inputs(compute, batch, experts, order);
  LinearInput activated{.x = activate(compute, x, groups, experts),
                        .stride = inner,
                        .tokens = x.tokens,
                        .width = inner};
  for (const MlpWeights* expert : experts) quantise_for(compute, expert->down, activated);
  float* y = compute.scratch.take(x.tokens * hidden);
  std::vector<kernels::LinearArgs> linears;
  for (std::size_t i = 0; i < groups.size(); ++i)
    linears.push_back(linear_args(slice(activated, groups[i]), experts[i]->down,
                                  y + groups[i].begin * hidden, hidden));
  compute.engine.linears(linears);
  round_rows(compute, y, x.tokens, hidden, hidden);
  w.files[static_cast<std::size_t>(layer)].end_process_if_truncated();
  compute.engine.pool->parallel_for(x.tokens, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      std::copy_n(y + i * hidden, hidden, batch.out + order[static_cast<std::size_t>(i)] * hidden);
  });
}

}  // namespace troupe::model
