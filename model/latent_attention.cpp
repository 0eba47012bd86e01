// Absorbed MLA: project, rotate, write the latent cache, attend over pages, project back.
#include "model/latent_attention.hpp"

#include <atomic>
#include <cstring>

#include "model/checkpoint/dequantise.hpp"

namespace troupe::model {
namespace {

// The dimensions of one layer's attention under short names (specification 3.2).
struct Dims {
  std::int64_t heads, nope, rope, v, latent, q_head, kv_head, width;
  explicit Dims(const ModelConfig& c)
      : heads(c.num_heads),
        nope(c.qk_nope_head_dim),
        rope(c.qk_rope_head_dim),
        v(c.v_head_dim),
        latent(c.kv_lora_rank),
        q_head(nope + rope),
        kv_head(nope + v),
        width(latent + rope) {}
};

}  // namespace

kernels::CacheEntry cache_entry(const ModelConfig& config, const Numerics& numerics) {
  return {numerics.cache_dtype(), config.kv_lora_rank, config.qk_rope_head_dim};
}

LatentAttentionWeights load_latent_attention(WeightLoader& loader, const ModelConfig& config,
                                             const std::string& prefix) {
  const Dims d(config);
  const std::int64_t hidden = config.hidden_size;
  LatentAttentionWeights w;
  if (config.q_lora_rank > 0) {
    w.q_a = loader.matrix(prefix + "q_a_proj.weight", config.q_lora_rank, hidden);
    w.q_a_norm = loader.vector(prefix + "q_a_layernorm.weight", config.q_lora_rank);
    w.q_b = loader.matrix(prefix + "q_b_proj.weight", d.heads * d.q_head, config.q_lora_rank);
  } else {
    w.q_b = loader.matrix(prefix + "q_proj.weight", d.heads * d.q_head, hidden);
  }
  w.kv_a = loader.matrix(prefix + "kv_a_proj_with_mqa.weight", d.width, hidden);
  w.kv_a_norm = loader.vector(prefix + "kv_a_layernorm.weight", d.latent);
  w.kv_b = loader.matrix(prefix + "kv_b_proj.weight", d.heads * d.kv_head, d.latent);
  w.o = loader.matrix(prefix + "o_proj.weight", hidden, d.heads * d.v);
  return w;
}

DType absorbed_dtype(DType kv_b, const ModelConfig& config, const Numerics& numerics) {
  if (derives_int8(config, numerics)) return DType::i8;
  if (kv_b == DType::bf16 || kv_b == DType::f32) return kv_b;
  return numerics.row_dtype();
}

namespace {

// Fills the rows of head `h` of both.
bool encode_head(const Dims& d, std::int64_t h, const kernels::KernelTable& table,
                 LatentAttentionWeights& w) {
  const std::int64_t first = h * d.kv_head;
  std::vector<float> row(static_cast<std::size_t>(d.latent));
  std::vector<float> uk(static_cast<std::size_t>(d.latent * d.nope));
  std::vector<float> uv(static_cast<std::size_t>(d.v * d.latent));
  for (std::int64_t r = 0; r < d.nope; ++r) {
    dequantise_row(w.kv_b, first + r, row);
    for (std::int64_t c = 0; c < d.latent; ++c)
      uk[static_cast<std::size_t>(c * d.nope + r)] = row[static_cast<std::size_t>(c)];
  }
  for (std::int64_t r = 0; r < d.v; ++r)
    dequantise_row(w.kv_b, first + d.nope + r,
                   std::span(uv).subspan(static_cast<std::size_t>(r * d.latent), row.size()));
  return w.w_uk.set_rows(table, h * d.latent, uk) && w.w_uv.set_rows(table, h * d.v, uv);
}

}  // namespace

Expected<void> derive_absorbed(LatentAttentionWeights& w, const ModelConfig& config,
                               const Numerics& numerics, const kernels::Engine& engine) {
  const Dims d(config);
  const DType dtype = absorbed_dtype(w.kv_b.dtype, config, numerics);
  w.w_uk = DerivedMatrix(dtype, d.heads * d.latent, d.nope);
  w.w_uv = DerivedMatrix(dtype, d.heads * d.v, d.latent);
  std::atomic<bool> fine = true;
  engine.pool->parallel_for(d.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t h = begin; h < end; ++h)
      if (!encode_head(d, h, *engine.table, w)) fine = false;
  });
  if (!fine) return unexpected(Errc::malformed, "has a value that is NaN or infinite");
  return {};
}

namespace {

// Columns of each head in rows of all heads.
struct HeadColumns {
  float* data = nullptr;  // [rows, heads * width]
  std::int64_t width = 0;
};

// For each head: the first columns of its x, as many as the weight has, times its share of the
// weight's rows, to the first columns of its y.
void multiply_heads(const Compute& compute, std::int64_t heads, std::int64_t rows,
                    const HeadColumns& x, const kernels::WeightMatrix& weight,
                    const HeadColumns& y) {
  const std::int64_t rows_each = weight.rows / heads;
  std::vector<kernels::LinearArgs> products;
  for (std::int64_t h = 0; h < heads; ++h) {
    const kernels::WeightMatrix part = rows_of(weight, h * rows_each, rows_each);
    LinearInput input{
        .x = x.data + h * x.width, .stride = heads * x.width, .tokens = rows, .width = part.cols};
    quantise_for(compute, part, input);
    products.push_back(linear_args(input, part, y.data + h * y.width, heads * y.width));
  }
  compute.engine.linears(products);
}

// Queries [rows, heads, latent + rope]: q_nope through W_UK, q_pe rotated.
float* absorbed_queries(const Compute& compute, const ModelConfig& config,
                        const LatentAttentionWeights& w, LinearInput u, const StepState& state) {
  const Dims d(config);
  const std::int64_t rows = u.tokens;
  const std::int64_t stride = d.heads * d.q_head;
  if (config.q_lora_rank > 0) {
    const std::int64_t rank = config.q_lora_rank;
    float* cq = compute.scratch.take(rows * rank);
    quantise_for(compute, w.q_a, u);
    compute.engine.linear(linear_args(u, w.q_a, cq, rank));
    compute.engine.rms_norm({.x = cq,
                             .x_stride = rank,
                             .w = w.q_a_norm.data(),
                             .y = cq,
                             .y_stride = rank,
                             .rows = rows,
                             .width = rank,
                             .eps = config.inner_norm_eps,
                             .round_to_bf16 = compute.numerics.rounds_to_bf16()});
    u = {.x = cq, .stride = rank, .tokens = rows, .width = rank};
  }
  float* q = compute.scratch.take(rows * stride);
  quantise_for(compute, w.q_b, u);
  compute.engine.linear(linear_args(u, w.q_b, q, stride));
  compute.engine.rope({.x = q + d.nope,
                       .row_stride = stride,
                       .head_stride = d.q_head,
                       .cos = state.cos.data(),
                       .sin = state.sin.data(),
                       .rows = rows,
                       .heads = d.heads,
                       .rope = d.rope});
  float* absorbed = compute.scratch.take(rows * d.heads * d.width);
  for (std::int64_t h = 0; h < d.heads; ++h)
    round_rows(compute, q + h * d.q_head, rows, d.nope, stride);
  multiply_heads(compute, d.heads, rows, {q, d.q_head}, w.w_uk.view(), {absorbed, d.width});
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t h = 0; h < d.heads; ++h)
      std::memcpy(absorbed + (row * d.heads + h) * d.width + d.latent,
                  q + row * stride + h * d.q_head + d.nope,
                  static_cast<std::size_t>(d.rope) * sizeof(float));
  return absorbed;
}

}  // namespace

LinearInput normed_rows(const ModelConfig& config, const StepState& state) {
  return {.x = state.u.data(),
          .stride = config.hidden_size,
          .tokens = state.batch.rows(),
          .width = config.hidden_size};
}

// The normed latent and the rotated k_pe, into their pages.
void write_latents(const Compute& compute, const ModelConfig& config,
                   const LatentAttentionWeights& w, const LatentAttentionInput& input,
                   LinearInput& u) {
  const Dims d(config);
  float* a = compute.scratch.take(u.tokens * d.width);
  quantise_for(compute, w.kv_a, u);
  compute.engine.linear(linear_args(u, w.kv_a, a, d.width));
  compute.engine.rms_norm({.x = a,
                           .x_stride = d.width,
                           .w = w.kv_a_norm.data(),
                           .y = a,
                           .y_stride = d.width,
                           .rows = u.tokens,
                           .width = d.latent,
                           .eps = config.inner_norm_eps,
                           .round_to_bf16 = false});  // write_cache rounds
  compute.engine.rope({.x = a + d.latent,
                       .row_stride = d.width,
                       .head_stride = 0,
                       .cos = input.state.cos.data(),
                       .sin = input.state.sin.data(),
                       .rows = u.tokens,
                       .heads = 1,
                       .rope = d.rope});
  const kernels::CacheEntry& entry = input.pool.shape().entry;
  std::vector<std::byte*> at;
  for (const auto& slice : input.state.batch.slices)
    for (std::int64_t i = 0; i < slice.rows; ++i) {
      const std::int64_t position = slice.first_position + i;
      const auto page = slice.pages[static_cast<std::size_t>(position / kernels::kPageTokens)];
      at.push_back(input.pool.layer_page(page, input.layer) +
                   position % kernels::kPageTokens * entry.bytes());
    }
  compute.engine.write_cache({.x = a, .entry = entry, .at = at.data(), .rows = u.tokens});
}

namespace {

// Attention of every slice over its pages: o_lat [rows, heads, latent].
float* attend(const Compute& compute, const Dims& d, float scale, const float* queries,
              const LatentAttentionInput& input) {
  float* o = compute.scratch.take(input.state.batch.rows() * d.heads * d.latent);
  std::vector<std::vector<const void*>> tables;
  std::vector<kernels::MlaAttentionArgs> slices;
  std::int64_t row = 0;
  for (const auto& slice : input.state.batch.slices) {
    auto& table = tables.emplace_back();
    for (const PageId page : slice.pages) table.push_back(input.pool.layer_page(page, input.layer));
    slices.push_back({.q = queries + row * d.heads * d.width,
                      .pages = table.data(),
                      .cache_dtype = input.pool.shape().entry.dtype,
                      .o = o + row * d.heads * d.latent,
                      .rows = slice.rows,
                      .heads = d.heads,
                      .latent = d.latent,
                      .rope = d.rope,
                      .first_position = slice.first_position,
                      .scale = scale});
    row += slice.rows;
  }
  compute.engine.mla_attention(slices);
  return o;
}

}  // namespace

void latent_attention(const Compute& compute, const ModelConfig& config,
                      const LatentAttentionWeights& w, float softmax_scale,
                      const LatentAttentionInput& input, const LinearInput& u, float* out) {
  const Dims d(config);
  const std::int64_t rows = input.state.batch.rows();
  const float* queries = absorbed_queries(compute, config, w, u, input.state);
  float* o_lat = attend(compute, d, softmax_scale, queries, input);
  round_rows(compute, o_lat, rows, d.heads * d.latent, d.heads * d.latent);
  float* o = compute.scratch.take(rows * d.heads * d.v);
  multiply_heads(compute, d.heads, rows, {o_lat, d.latent}, w.w_uv.view(), {o, d.v});
  round_rows(compute, o, rows, d.heads * d.v, d.heads * d.v);
  LinearInput attended{.x = o, .stride = d.heads * d.v, .tokens = rows, .width = d.heads * d.v};
  quantise_for(compute, w.o, attended);
  compute.engine.linear(linear_args(attended, w.o, out, config.hidden_size));
}

}  // namespace troupe::model
