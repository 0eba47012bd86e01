// Rows on their way into linear layers: rounded and, in modes fp8-act and int8-act, quantised once
// for all readers.
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

/// Input rows of one or more linears. x [tokens, width]. Codes are there only where a reader wants
/// them, and of one kind: no mode has both.
struct LinearInput {
  const float* x = nullptr;
  std::int64_t stride = 0;
  std::int64_t tokens = 0;
  std::int64_t width = 0;
  const float* e4m3_codes = nullptr;        // [tokens, width], values
  const std::int8_t* int8_codes = nullptr;  // [tokens, kernels::padded_codes(width)]
  const float* scales = nullptr;            // of the codes, [tokens, ceil(width / 128)]

  /// Whether `reader` is computed from the codes; another one reads x.
  bool has_codes_for(const kernels::WeightMatrix& reader) const {
    return reader.takes_int8_rows() ? int8_codes != nullptr
                                    : reader.takes_quantised_rows() && e4m3_codes != nullptr;
  }
};

/// Adds codes and scales to `input` when the mode quantises rows for weights of the format of
/// `reader` and `input` has none yet. *Source*: specification 4.3 and 4.8.
void quantise_for(const Compute& compute, const kernels::WeightMatrix& reader, LinearInput& input);

/// The linear that reads `input` (its codes where it has some for the weight).
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
