// Buffers and arguments of each operation as the model calls it.
#include "services/bench/kernel_runs.hpp"

#include <algorithm>
#include <array>
#include <memory>

#include "kernels/probe.hpp"
#include "model/router_model.hpp"
#include "services/bench/case_rows.hpp"
#include "services/bench/row_runs.hpp"

namespace troupe::services {
namespace {

using kernels::Engine;
using kernels::LinearArgs;

/// Stored bytes of a matrix, scales included.
double weight_bytes(const KernelCase& one, std::int64_t rows, std::int64_t cols) {
  const std::int64_t codes =
      kernels::WeightMatrix{.dtype = one.dtype(), .rows = rows, .cols = cols}.bytes();
  if (one.channel_scales()) return as_double(codes + rows * std::int64_t{sizeof(float)});
  if (one.format == KernelFormat::awq)
    return as_double(codes + rows * (cols / kZeroedGroup) * std::int64_t{sizeof(std::uint32_t)});
  const std::int64_t blocks = kernels::scale_blocks(rows) * kernels::scale_blocks(cols);
  switch (one.dtype()) {
    case DType::f8_e4m3:
    case DType::i8: return as_double(codes + blocks * std::int64_t{sizeof(float)});
    case DType::i32:
      return as_double(codes + rows * kernels::scale_groups(cols) * std::int64_t{sizeof(Bf16)});
    default: return as_double(codes);
  }
}

kernels::WeightMatrix weight(const KernelCase& one, std::int64_t rows, std::int64_t cols,
                             WeightPool& pool) {
  if (one.format == KernelFormat::awq) return pool.zeroed_matrix(rows, cols);
  if (one.channel_scales()) return pool.channel_matrix(rows, cols);
  return pool.matrix(one.dtype(), rows, cols);
}

/// Rows as a linear of the case takes them: F32, or codes with scales.
class Rows {
 public:
  Rows(std::shared_ptr<Floats> values, std::int64_t rows, std::int64_t width, RowCodes codes)
      : values_(std::move(values)), rows_(rows), width_(width), codes_(codes) {
    if (codes == RowCodes::none) return;
    scales_ = zeros(rows * kernels::scale_blocks(width));
    if (codes == RowCodes::e4m3) e4m3_ = zeros(rows * width);
    if (codes == RowCodes::int8)
      int8_ = std::make_shared<std::vector<std::int8_t>>(
          static_cast<std::size_t>(rows * kernels::padded_codes(width)));
  }
  /// Before each use, as the model does it: quantising is part of the price.
  void quantise(const Engine& engine) const {
    if (codes_ == RowCodes::e4m3)
      engine.quantise({.x = values_->data(),
                       .x_stride = width_,
                       .q = e4m3_->data(),
                       .scales = scales_->data(),
                       .rows = rows_,
                       .width = width_});
    if (codes_ == RowCodes::int8)
      engine.quantise_int8({.x = values_->data(),
                            .x_stride = width_,
                            .q = int8_->data(),
                            .scales = scales_->data(),
                            .rows = rows_,
                            .width = width_});
  }
  /// The input side of rows [first, first + count).
  LinearArgs input(std::int64_t first, std::int64_t count) const {
    LinearArgs args;
    args.tokens = count;
    if (scales_ != nullptr) args.x_scales = scales_->data() + first * kernels::scale_blocks(width_);
    if (int8_ != nullptr) {
      args.x_codes = int8_->data() + first * kernels::padded_codes(width_);
      return args;
    }
    args.x = (e4m3_ != nullptr ? e4m3_ : values_)->data() + first * width_;
    args.x_stride = width_;
    return args;
  }
  std::int64_t width() const { return width_; }
  Floats& values() const { return *values_; }

 private:
  std::shared_ptr<Floats> values_;
  std::int64_t rows_, width_;
  RowCodes codes_;
  std::shared_ptr<std::vector<std::int8_t>> int8_;
  std::shared_ptr<Floats> e4m3_, scales_;
};

/// Quantising by itself.
PreparedKernel prepare_quantise(const KernelCase& one, const Engine& engine, RowCodes codes) {
  const std::int64_t width = one.preset->config.hidden_size;
  const Rows x(random_values(one.rows * width), one.rows, width, codes);
  const std::int64_t values = one.rows * width * std::int64_t{sizeof(float)};
  PreparedKernel made;
  made.bytes = as_double(  // e4m3 codes are kept as F32
      values + (codes == RowCodes::int8 ? one.rows * kernels::padded_codes(width) : values));
  made.once = [x, engine] { x.quantise(engine); };
  return made;
}

/// Where weights have a scale per block and are multiplied as F32, each of the 16 lanes of a sum
/// takes what a block has come to times its scale (ADR 0001).
double block_flops(const KernelCase& one, std::int64_t rows, std::int64_t features,
                   std::int64_t inputs) {
  constexpr std::int64_t kLanes = 16;
  const bool blocks =
      one.dtype() == DType::f8_e4m3 || (one.dtype() == DType::i8 && !one.channel_scales());
  const bool lanes =
      one.row_codes() != RowCodes::int8 && one.bf16_sums() == kernels::Bf16Sums::lanes;
  if (!blocks || !lanes) return 0;
  return 2 * as_double(rows * features * kernels::scale_blocks(inputs) * kLanes);
}

PreparedKernel prepare_linear(const KernelCase& one, const Engine& engine, WeightPool& pool) {
  const Rows x(random_values(one.rows * one.inputs), one.rows, one.inputs, one.row_codes());
  const auto y = zeros(one.rows * one.features);
  PreparedKernel made;
  made.bytes = weight_bytes(one, one.features, one.inputs);
  made.flops = 2 * as_double(one.rows * one.features * one.inputs);
  made.block_flops = block_flops(one, one.rows, one.features, one.inputs);
  made.from_memory = true;
  made.once = [one, x, y, engine, &pool] {
    x.quantise(engine);
    LinearArgs args = x.input(0, one.rows);
    args.w = weight(one, one.features, one.inputs, pool);
    args.y = y->data();
    args.y_stride = one.features;
    engine.linear(args);
  };
  return made;
}

/// Pairs spread evenly over the experts, or all on one of them; a dense FFN is one expert of its
/// own width that every row meets once.
struct ExpertLoad {
  std::int64_t hidden, inner, pairs, used;

  explicit ExpertLoad(const KernelCase& one) : hidden(one.preset->config.hidden_size) {
    const model::ModelConfig& c = one.preset->config;
    const bool dense = one.operation == KernelOperation::dense_ffn;
    inner = dense ? c.intermediate_size : c.moe_intermediate_size;
    pairs = dense ? one.rows : one.rows * c.experts_per_token;
    used = dense || one.part == kOneExpert ? 1 : std::min<std::int64_t>(pairs, c.routed_experts);
  }
  std::int64_t first(std::int64_t expert) const {
    return expert * (pairs / used) + std::min(expert, pairs % used);
  }
  std::int64_t count(std::int64_t expert) const { return first(expert + 1) - first(expert); }
};

struct ExpertBuffers {
  Rows x, gate;                   // [pairs, hidden], [pairs, inner]
  std::shared_ptr<Floats> up, y;  // [pairs, inner], [pairs, hidden]
};

/// Gate and up of all experts together, SwiGLU, down of all together, as ExpertModel::run.
void run_experts(const ExpertLoad& load, const KernelCase& one, const ExpertBuffers& rows,
                 const Engine& engine, WeightPool& pool) {
  std::vector<LinearArgs> group;
  const auto add = [&](std::int64_t expert, const Rows& x, Floats& y, std::int64_t features) {
    const std::int64_t first = load.first(expert);
    LinearArgs args = x.input(first, load.count(expert));
    args.w = weight(one, features, x.width(), pool);
    args.y = y.data() + first * features;
    args.y_stride = features;
    group.push_back(args);
  };
  rows.x.quantise(engine);
  for (std::int64_t expert = 0; expert < load.used; ++expert) {
    add(expert, rows.x, rows.gate.values(), load.inner);
    add(expert, rows.x, *rows.up, load.inner);
  }
  engine.linears(group);
  engine.swiglu({.gate = rows.gate.values().data(),
                 .up = rows.up->data(),
                 .y = rows.gate.values().data(),
                 .rows = load.pairs,
                 .width = load.inner,
                 .round_to_bf16 = true});
  group.clear();
  rows.gate.quantise(engine);
  for (std::int64_t expert = 0; expert < load.used; ++expert)
    add(expert, rows.gate, *rows.y, load.hidden);
  engine.linears(group);
}

PreparedKernel prepare_experts(const KernelCase& one, const Engine& engine, WeightPool& pool) {
  const ExpertLoad load(one);
  const ExpertBuffers rows{
      Rows(random_values(load.pairs * load.hidden), load.pairs, load.hidden, one.row_codes()),
      Rows(zeros(load.pairs * load.inner), load.pairs, load.inner, one.row_codes()),
      zeros(load.pairs * load.inner), zeros(load.pairs * load.hidden)};
  PreparedKernel made;
  made.bytes = as_double(load.used) * (2 * weight_bytes(one, load.inner, load.hidden) +
                                       weight_bytes(one, load.hidden, load.inner));
  made.flops = 2 * 3 * as_double(load.pairs * load.inner * load.hidden);
  made.block_flops = 2 * block_flops(one, load.pairs, load.inner, load.hidden) +
                     block_flops(one, load.pairs, load.hidden, load.inner);
  made.from_memory = true;
  made.once = [load, one, rows, engine, &pool] { run_experts(load, one, rows, engine, pool); };
  return made;
}

/// W_UK of every head, from queries to the latent, and W_UV, from the latent to values.
PreparedKernel prepare_absorb(const KernelCase& one, const Engine& engine, WeightPool& pool) {
  const model::ModelConfig& c = one.preset->config;
  const std::int64_t heads = c.num_heads;
  const std::int64_t nope = c.qk_nope_head_dim, latent = c.kv_lora_rank, v = c.v_head_dim;
  const Rows q(random_values(one.rows * heads * nope), one.rows * heads, nope, one.row_codes());
  const Rows o(random_values(one.rows * heads * latent), one.rows * heads, latent, one.row_codes());
  const auto y = zeros(one.rows * heads * std::max(latent, v));
  PreparedKernel made;
  made.bytes = as_double(heads) * (weight_bytes(one, latent, nope) + weight_bytes(one, v, latent));
  made.flops = 2 * as_double(one.rows * heads * latent * (nope + v));
  made.from_memory = true;
  made.once = [=, &pool] {
    for (const Rows& x : {q, o}) {
      const std::int64_t features = x.width() == nope ? latent : v;
      x.quantise(engine);
      std::vector<LinearArgs> group;
      for (std::int64_t head = 0; head < heads; ++head) {
        LinearArgs args = x.input(head * one.rows, one.rows);
        args.w = weight(one, features, x.width(), pool);
        args.y = y->data() + head * one.rows * features;
        args.y_stride = features;
        group.push_back(args);
      }
      engine.linears(group);
    }
  };
  return made;
}

/// Decode: every row a sequence of its own with kDecodeKeys positions. Prefill: one sequence from
/// its first position on.
PreparedKernel prepare_attention(const KernelCase& one, const Engine& engine, WeightPool& pool) {
  const model::ModelConfig& c = one.preset->config;
  const bool decode = one.rows <= kDecodeRowsMax;
  const std::int64_t sequences = decode ? one.rows : 1;
  const std::int64_t rows = decode ? 1 : one.rows;
  const std::int64_t keys = decode ? kDecodeKeys : one.rows;
  const std::int64_t width = c.kv_lora_rank + c.qk_rope_head_dim;
  const std::int64_t entry =
      kernels::CacheEntry{one.dtype(), c.kv_lora_rank, c.qk_rope_head_dim}.bytes();
  const std::int64_t pages = (keys + kernels::kPageTokens - 1) / kernels::kPageTokens;
  const auto q = random_values(one.rows * c.num_heads * width);
  const auto o = zeros(one.rows * c.num_heads * c.kv_lora_rank);
  // Row r of a prefill goes over r + 1 keys.
  const std::int64_t pairs = decode ? sequences * keys : rows * (rows + 1) / 2;
  PreparedKernel made;
  made.bytes = as_double(sequences * keys * entry);
  made.flops =
      2 * as_double(pairs * c.num_heads) * as_double(2 * c.kv_lora_rank + c.qk_rope_head_dim);
  made.from_memory = true;
  made.once = [=, dtype = one.dtype(), &pool] {
    std::vector<const void*> tables;
    for (std::int64_t i = 0; i < sequences * pages; ++i)
      tables.push_back(pool.next(kernels::kPageTokens * entry));
    std::vector<kernels::MlaAttentionArgs> slices;
    for (std::int64_t s = 0; s < sequences; ++s)
      slices.push_back({.q = q->data() + s * c.num_heads * width,
                        .pages = tables.data() + s * pages,
                        .cache_dtype = dtype,
                        .o = o->data() + s * c.num_heads * c.kv_lora_rank,
                        .rows = rows,
                        .heads = c.num_heads,
                        .latent = c.kv_lora_rank,
                        .rope = c.qk_rope_head_dim,
                        .first_position = keys - rows,
                        .scale = 0.01F});
    engine.mla_attention(slices);
  };
  return made;
}

/// As RouterModel::gate: linear, sigmoid, group-limited top-k.
PreparedKernel prepare_gate(const KernelCase& one, const Engine& engine, WeightPool& pool) {
  const model::ModelConfig& c = one.preset->config;
  const std::int64_t experts = c.routed_experts;
  const std::int64_t chosen = c.experts_per_token;
  const model::GateRule rule{.experts = experts,
                             .groups = c.groups,
                             .groups_kept = c.groups_kept,
                             .experts_per_token = chosen,
                             .norm_topk_prob = c.norm_topk_prob,
                             .route_scale = c.route_scale};
  const auto x = random_values(one.rows * c.hidden_size);
  const auto scores = zeros(one.rows * experts);
  const auto bias = zeros(experts);
  const auto weights = zeros(one.rows * chosen);
  const auto ids =
      std::make_shared<std::vector<std::int32_t>>(static_cast<std::size_t>(one.rows * chosen));
  PreparedKernel made;
  made.bytes = weight_bytes(one, experts, c.hidden_size);
  made.flops = 2 * as_double(one.rows * experts * c.hidden_size);
  made.from_memory = true;
  made.once = [=, rows = one.rows, dtype = one.dtype(), hidden = std::int64_t{c.hidden_size},
               &pool] {
    engine.linear({.x = x->data(),
                   .x_stride = hidden,
                   .w = pool.matrix(dtype, experts, hidden),
                   .y = scores->data(),
                   .y_stride = experts,
                   .tokens = rows});
    engine.table->sigmoid(scores->data(), scores->data(), rows * experts);
    for (std::int64_t row = 0; row < rows; ++row)
      model::select_experts(rule, scores->data() + row * experts, bias->data(),
                            ids->data() + row * chosen, weights->data() + row * chosen);
  };
  return made;
}

}  // namespace

PreparedKernel prepare_kernel(const KernelCase& one, const Engine& base, WeightPool& pool) {
  Engine engine = base;
  engine.bf16_sums = one.bf16_sums();
  switch (one.operation) {
    case KernelOperation::linear: return prepare_linear(one, engine, pool);
    case KernelOperation::experts:
    case KernelOperation::dense_ffn: return prepare_experts(one, engine, pool);
    case KernelOperation::absorb: return prepare_absorb(one, engine, pool);
    case KernelOperation::attention: return prepare_attention(one, engine, pool);
    case KernelOperation::gate: return prepare_gate(one, engine, pool);
    case KernelOperation::quantise: return prepare_quantise(one, engine, RowCodes::e4m3);
    case KernelOperation::quantise_int8: return prepare_quantise(one, engine, RowCodes::int8);
    default: return prepare_row_work(one, engine, pool);
  }
}

std::optional<KernelResult> measure_kernel(const KernelCase& one, const Engine& engine,
                                           WeightPool& pool, const Repeating& repeating) {
  const PreparedKernel prepared = prepare_kernel(one, engine, pool);
  KernelResult result{.what = one,
                      .seconds = 1e300,
                      .bytes = prepared.bytes,
                      .flops = prepared.flops,
                      .block_flops = prepared.block_flops,
                      .from_memory = prepared.from_memory};
  const kernels::MxcsrGuard guard;  // as every share of a pool
  const double begin = kernels::probe_seconds(engine);
  for (double start = begin; result.runs == 0 || start - begin < repeating.seconds_min;) {
    if (repeating.stop()) return std::nullopt;
    prepared.once();
    const double end = kernels::probe_seconds(engine);
    result.seconds = std::min(result.seconds, std::max(end - start, 1e-9));
    start = end;
    ++result.runs;
  }
  return result;
}

}  // namespace troupe::services
