// Rows on their way into linear layers: rounded and, in mode fp8-act, quantised once for all
// readers.
#pragma once
#include <cstdint>

#include "kernels/engine.hpp"
#include "model/numerics.hpp"
#include "model/scratch.hpp"

namespace troupe::model {

/// What one computation works with.
struct Compute {
  const kernels::Engine& engine;
  Numerics numerics;
  bool ue8m0 = false;  // activation scales are powers of two (V3.1)
  Scratch& scratch;
};

/// Input rows of one or more linears. x [tokens, width].
struct LinearInput {
  const float* x = nullptr;
  std::int64_t stride = 0;
  std::int64_t tokens = 0;
  std::int64_t width = 0;
  const float* codes = nullptr;   // [tokens, width] e4m3 values, only where a reader wants them
  const float* scales = nullptr;  // [tokens, ceil(width / 128)]
};

/// Adds codes and scales to `input` when the mode quantises and `reader` is e4m3.
/// *Source*: specification 4.3.
void quantise_for(const Compute& compute, const kernels::WeightMatrix& reader, LinearInput& input);

/// The linear that reads `input` (its codes if the weight takes them and they are there).
kernels::LinearArgs linear_args(const LinearInput& input, const kernels::WeightMatrix& weight,
                                float* y, std::int64_t y_stride);

/// `x[tokens, width]` rounded to the activation dtype in place; strided rows.
void round_rows(const Compute& compute, float* x, std::int64_t tokens, std::int64_t width,
                std::int64_t stride);

/// x += y over [tokens, width] contiguous, rounded once to the residual's dtype.
void add_rows(const Compute& compute, float* x, const float* y, std::int64_t tokens,
              std::int64_t width);

/// SwiGLU block. gate, up [inner, H], down [H, inner].
struct MlpWeights {
  kernels::WeightMatrix gate;
  kernels::WeightMatrix up;
  kernels::WeightMatrix down;
};

/// y [tokens, H] = down(silu(gate(x)) * up(x)), F32, unrounded. *Source*: specification 3.7.
void mlp(const Compute& compute, const MlpWeights& weights, LinearInput input, float* y);

}  // namespace troupe::model
