// Preparation of linear inputs and the SwiGLU block built from them.
#include "model/linear_layer.hpp"

#include <array>

namespace troupe::model {
namespace {
// Rows per share of cheap row-wise work: large enough that a share outweighs its hand-over.
constexpr std::int64_t kRowGrain = 8;
}  // namespace

void quantise_for(const Compute& compute, const kernels::WeightMatrix& reader, LinearInput& input) {
  const bool to_int8 = compute.numerics.quantises_to_int8() && reader.takes_int8_rows();
  const bool to_fp8 = compute.numerics.quantises_to_fp8() && reader.takes_quantised_rows();
  if (!(to_int8 || to_fp8) || input.has_codes_for(reader)) return;
  float* scales = compute.scratch.take(input.tokens * kernels::scale_blocks(input.width));
  if (to_int8) {
    auto* codes = compute.scratch.take_int8(input.tokens * kernels::padded_codes(input.width));
    compute.engine.quantise_int8({.x = input.x,
                                  .x_stride = input.stride,
                                  .q = codes,
                                  .scales = scales,
                                  .rows = input.tokens,
                                  .width = input.width});
    input.int8_codes = codes;
  } else {
    float* codes = compute.scratch.take(input.tokens * input.width);
    compute.engine.quantise({.x = input.x,
                             .x_stride = input.stride,
                             .q = codes,
                             .scales = scales,
                             .rows = input.tokens,
                             .width = input.width,
                             .ue8m0 = compute.ue8m0});
    input.e4m3_codes = codes;
  }
  input.scales = scales;
}

kernels::LinearArgs linear_args(const LinearInput& input, const kernels::WeightMatrix& weight,
                                float* y, std::int64_t y_stride) {
  kernels::LinearArgs args{.x = input.x,
                           .x_stride = input.stride,
                           .w = weight,
                           .y = y,
                           .y_stride = y_stride,
                           .tokens = input.tokens};
  if (!input.has_codes_for(weight)) return args;
  args.x = input.e4m3_codes;
  args.x_stride = input.width;
  args.x_codes = input.int8_codes;
  args.x_scales = input.scales;
  return args;
}

void round_rows(const Compute& compute, float* x, std::int64_t tokens, std::int64_t width,
                std::int64_t stride) {
  if (!compute.numerics.rounds_to_bf16()) return;
  compute.engine.pool->parallel_for(tokens, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      compute.engine.table->round_bf16(x + row * stride, x + row * stride, width);
  });
}

void add_rows(const Compute& compute, float* x, const float* y, std::int64_t tokens,
              std::int64_t width) {
  compute.engine.pool->parallel_for(tokens, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    compute.engine.table->add(x + begin * width, y + begin * width, (end - begin) * width,
                              compute.numerics.rounds_to_bf16());
  });
}

void mlp(const Compute& compute, const MlpWeights& weights, LinearInput input, float* y) {
  const std::int64_t inner = weights.gate.rows;
  quantise_for(compute, weights.gate, input);
  quantise_for(compute, weights.up, input);  // gate may be of a format that reads plain rows
  float* gate = compute.scratch.take(input.tokens * inner);
  float* up = compute.scratch.take(input.tokens * inner);
  const std::array<kernels::LinearArgs, 2> pair{linear_args(input, weights.gate, gate, inner),
                                                linear_args(input, weights.up, up, inner)};
  compute.engine.linears(pair);
  compute.engine.swiglu({.gate = gate,
                         .up = up,
                         .y = gate,
                         .rows = input.tokens,
                         .width = inner,
                         .round_to_bf16 = compute.numerics.rounds_to_bf16()});
  LinearInput hidden{.x = gate, .stride = inner, .tokens = input.tokens, .width = inner};
  quantise_for(compute, weights.down, hidden);
  compute.engine.linear(linear_args(hidden, weights.down, y, weights.down.rows));
}

}  // namespace troupe::model
