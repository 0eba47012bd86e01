// Buffers and arguments of each row-wise operation as the model calls it.
#include "services/bench/row_runs.hpp"

#include <algorithm>
#include <memory>
#include <random>

#include "core/check.hpp"
#include "services/bench/case_rows.hpp"

namespace troupe::services {
namespace {

using kernels::Engine;

PreparedKernel prepare_write_cache(const KernelCase& one, const Engine& engine) {
  const model::ModelConfig& c = one.preset->config;
  const kernels::CacheEntry entry{one.dtype(), c.kv_lora_rank, c.qk_rope_head_dim};
  const std::int64_t width = c.kv_lora_rank + c.qk_rope_head_dim;
  const auto x = random_values(one.rows * width);
  const auto cache =
      std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(one.rows * entry.bytes()));
  PreparedKernel made;
  made.bytes = as_double(one.rows * (width * std::int64_t{sizeof(float)} + entry.bytes()));
  made.once = [=, rows = one.rows] {
    std::vector<std::byte*> at;
    for (std::int64_t row = 0; row < rows; ++row) at.push_back(cache->data() + row * entry.bytes());
    engine.write_cache({.x = x->data(), .entry = entry, .at = at.data(), .rows = rows});
  };
  return made;
}

PreparedKernel prepare_rms_norm(const KernelCase& one, const Engine& engine) {
  const std::int64_t width = one.preset->config.hidden_size;
  const auto x = random_values(one.rows * width);
  const auto w = random_values(width);
  const auto y = zeros(one.rows * width);
  PreparedKernel made;
  made.bytes = 2 * as_double(one.rows * width) * sizeof(float);
  made.once = [=, rows = one.rows] {
    engine.rms_norm({.x = x->data(),
                     .x_stride = width,
                     .w = w->data(),
                     .y = y->data(),
                     .y_stride = width,
                     .rows = rows,
                     .width = width,
                     .eps = 1e-6F,
                     .round_to_bf16 = true});
  };
  return made;
}

/// The rotated part of every head's query.
PreparedKernel prepare_rope(const KernelCase& one, const Engine& engine) {
  const std::int64_t heads = one.preset->config.num_heads;
  const std::int64_t rope = one.preset->config.qk_rope_head_dim;
  const auto x = random_values(one.rows * heads * rope);
  // Of an angle of 60 degrees: lengths stay, however often the rows are turned.
  const auto cos = std::make_shared<Floats>(static_cast<std::size_t>(one.rows * rope / 2), 0.5F);
  const auto sin =
      std::make_shared<Floats>(static_cast<std::size_t>(one.rows * rope / 2), 0.8660254F);
  PreparedKernel made;
  made.bytes = 2 * as_double(one.rows * heads * rope) * sizeof(float);
  made.once = [=, rows = one.rows] {
    engine.rope({.x = x->data(),
                 .row_stride = heads * rope,
                 .head_stride = rope,
                 .cos = cos->data(),
                 .sin = sin->data(),
                 .rows = rows,
                 .heads = heads,
                 .rope = rope});
  };
  return made;
}

/// The activation of one expert's width.
PreparedKernel prepare_swiglu(const KernelCase& one, const Engine& engine) {
  const std::int64_t width = one.preset->config.moe_intermediate_size;
  const auto gate = random_values(one.rows * width);
  const auto up = random_values(one.rows * width);
  const auto y = zeros(one.rows * width);
  PreparedKernel made;
  made.bytes = 3 * as_double(one.rows * width) * sizeof(float);
  made.once = [=, rows = one.rows] {
    engine.swiglu({.gate = gate->data(),
                   .up = up->data(),
                   .y = y->data(),
                   .rows = rows,
                   .width = width,
                   .round_to_bf16 = true});
  };
  return made;
}

/// Shares rows out as the model does; an engine without a pool has one thread.
template <class Share>
void for_rows(const Engine& engine, std::int64_t rows, std::int64_t grain, const Share& share) {
  if (engine.pool == nullptr) return share(0, rows);
  engine.pool->parallel_for(rows, grain, share);
}

/// As AttentionModel::embed without the angles: rows, drawn at random, of a table that fills the
/// pool.
PreparedKernel prepare_embed(const KernelCase& one, const Engine& engine, WeightPool& pool) {
  constexpr std::int64_t kGrain = 8;
  const std::int64_t width = one.preset->config.hidden_size;
  const std::int64_t row_bytes = width * std::int64_t{sizeof(Bf16)};
  const auto x = zeros(one.rows * width);
  const auto random = std::make_shared<std::minstd_rand>(3);
  PreparedKernel made;
  made.bytes = as_double(one.rows * row_bytes);
  made.from_memory = true;
  made.once = [=, rows = one.rows, &pool] {
    const std::byte* table = pool.next(pool.bytes());
    std::uniform_int_distribution<std::int64_t> token(0, pool.bytes() / row_bytes - 1);
    for (std::int64_t row = 0; row < rows; ++row)
      engine.table->unpack_bf16(table + token(*random) * row_bytes, x->data() + row * width, width);
    for_rows(engine, rows, kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row)
        engine.table->round_bf16(x->data() + row * width, x->data() + row * width, width);
    });
  };
  return made;
}

/// As the router adds up what the experts of a row answered: BF16 in, F32 sums, BF16 out.
PreparedKernel prepare_combine(const KernelCase& one, const Engine& engine) {
  constexpr std::int64_t kGrain = 4;
  const std::int64_t width = one.preset->config.hidden_size;
  const std::int64_t chosen = one.preset->config.experts_per_token;
  const auto count = static_cast<std::size_t>(one.rows * width);
  const auto out = std::make_shared<std::vector<Bf16>>(count);
  const auto replies =
      std::make_shared<std::vector<Bf16>>(count * static_cast<std::size_t>(chosen));
  const auto values = random_values(one.rows * chosen * width);
  engine.table->pack_bf16(values->data(), replies->data(), one.rows * chosen * width);
  PreparedKernel made;
  made.bytes = as_double(one.rows * (chosen + 1) * width) * sizeof(Bf16);
  made.once = [=, rows = one.rows] {
    for_rows(engine, rows, kGrain, [&](std::int64_t begin, std::int64_t end) {
      Floats reply(static_cast<std::size_t>(width));
      Floats sum(static_cast<std::size_t>(width));
      for (std::int64_t row = begin; row < end; ++row) {
        std::fill(sum.begin(), sum.end(), 0.0F);
        for (std::int64_t i = row * chosen; i < (row + 1) * chosen; ++i) {
          engine.table->unpack_bf16(replies->data() + i * width, reply.data(), width);
          engine.table->axpy(sum.data(), reply.data(), 0.1F, width);
        }
        engine.table->round_bf16(sum.data(), sum.data(), width);
        engine.table->pack_bf16(sum.data(), out->data() + row * width, width);
      }
    });
  };
  return made;
}

}  // namespace

std::shared_ptr<Floats> random_values(std::int64_t count) {
  constexpr std::size_t kBlock = std::size_t{1} << 16;
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  auto values = zeros(count);
  for (std::size_t i = 0; i < values->size(); ++i)
    (*values)[i] = i < kBlock ? round_to_bf16(normal(random)) : (*values)[i - kBlock];
  return values;
}

PreparedKernel prepare_row_work(const KernelCase& one, const Engine& engine, WeightPool& pool) {
  switch (one.operation) {
    case KernelOperation::write_cache: return prepare_write_cache(one, engine);
    case KernelOperation::rms_norm: return prepare_rms_norm(one, engine);
    case KernelOperation::rope: return prepare_rope(one, engine);
    case KernelOperation::swiglu: return prepare_swiglu(one, engine);
    case KernelOperation::embed: return prepare_embed(one, engine, pool);
    default: break;
  }
  TROUPE_CHECK(one.operation == KernelOperation::combine, one.name());
  return prepare_combine(one, engine);
}

}  // namespace troupe::services
