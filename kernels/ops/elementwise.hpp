// Row-wise operations between the linears: norm, rotation, activation, quantisation, combination.
#pragma once
#include <cstdint>

#include "kernels/ops/weight_matrix.hpp"

namespace troupe::kernels {

/// y = x * (1 / sqrt(mean(x^2) + eps)) * w, each product rounded to F32 in that order; the mean
/// from the canonical sum of squares. Source: specification 3.1.
struct RmsNormArgs {
  const float* x = nullptr;  // [rows, width]
  std::int64_t x_stride = 0;
  const float* w = nullptr;  // [width]
  float* y = nullptr;        // [rows, width], may be x
  std::int64_t y_stride = 0;
  std::int64_t rows = 0;
  std::int64_t width = 0;
  float eps = 0;
  bool round_to_bf16 = false;  // round y once at the end
};
using RmsNormFn = void (*)(const RmsNormArgs& args, std::int64_t row_begin, std::int64_t row_end);

/// Rotates interleaved pairs in place by the row's cos[i], sin[i]:
/// y0 = fma(x0, cos, -(x1 * sin)), y1 = fma(x0, sin, x1 * cos). Source: specification 3.4.
struct RopeArgs {
  float* x = nullptr;  // pairs of (row, head) start at x + row * row_stride + head * head_stride
  std::int64_t row_stride = 0;
  std::int64_t head_stride = 0;
  const float* cos = nullptr;  // [rows, rope / 2]
  const float* sin = nullptr;  // [rows, rope / 2]
  std::int64_t rows = 0;
  std::int64_t heads = 0;
  std::int64_t rope = 0;  // even
};
using RopeFn = void (*)(const RopeArgs& args, std::int64_t row_begin, std::int64_t row_end);

/// y = silu(gate) * up with silu(g) = g / (1 + exp(-g)), own exp; optionally rounded to BF16 once.
/// Source: specification 3.7.
struct SwigluArgs {
  const float* gate = nullptr;  // [rows, width]
  const float* up = nullptr;    // [rows, width]
  float* y = nullptr;           // [rows, width], may be gate or up
  std::int64_t rows = 0;
  std::int64_t width = 0;
  bool round_to_bf16 = false;
};
using SwigluFn = void (*)(const SwigluArgs& args, std::int64_t row_begin, std::int64_t row_end);

/// Dynamic 1x128 quantisation: s = max(amax, 1e-4) / 448 (ue8m0: the next power of two at or
/// above), q = e4m3(x / s) kept as F32 values. The last block may be shorter. Source:
/// specification 4.3.
struct QuantiseArgs {
  const float* x = nullptr;  // [rows, width]
  std::int64_t x_stride = 0;
  float* q = nullptr;       // [rows, width] contiguous
  float* scales = nullptr;  // [rows, ceil(width/128)] contiguous
  std::int64_t rows = 0;
  std::int64_t width = 0;
  bool ue8m0 = false;
};
using QuantiseFn = void (*)(const QuantiseArgs& args, std::int64_t row_begin, std::int64_t row_end);

/// INT8 codes of one row of `width` elements, whole activation blocks.
inline constexpr std::int64_t padded_codes(std::int64_t width) {
  return scale_blocks(width) * kScaleBlock;
}

/// Dynamic 1x128 quantisation to INT8: s = max(amax, 1e-10) / 127, q = x / s to the nearest whole
/// number, ties to even; 0 from `width` to the end of the last block. A block with an infinite or
/// NaN element has the scale NaN, so that no result hides it. Source: specification 4.8.
struct QuantiseInt8Args {
  const float* x = nullptr;  // [rows, width]
  std::int64_t x_stride = 0;
  std::int8_t* q = nullptr;  // [rows, padded_codes(width)] contiguous
  float* scales = nullptr;   // [rows, ceil(width/128)] contiguous
  std::int64_t rows = 0;
  std::int64_t width = 0;
};
using QuantiseInt8Fn = void (*)(const QuantiseInt8Args& args, std::int64_t row_begin,
                                std::int64_t row_end);

/// y = x rounded to the nearest BF16, ties to even, kept as F32. y may be x. n elements.
using RoundBf16Fn = void (*)(const float* x, float* y, std::int64_t n);
/// F32 to BF16 bits (rounding) and back. The BF16 side may be unaligned. n elements.
using PackBf16Fn = void (*)(const float* x, void* y, std::int64_t n);
using UnpackBf16Fn = void (*)(const void* x, float* y, std::int64_t n);

/// x = x + y, optionally rounded to BF16 once. n elements.
using AddFn = void (*)(float* x, const float* y, std::int64_t n, bool round_to_bf16);

/// acc = fma(weight, x, acc): one step of the combine over ascending expert ids. n elements.
using AxpyFn = void (*)(float* acc, const float* x, float weight, std::int64_t n);

/// y = 1 / (1 + exp(-x)), own exp. y may be x. n elements. Source: specification 3.8, step 2.
using SigmoidFn = void (*)(const float* x, float* y, std::int64_t n);

/// What log-softmax and the sampler need of one row.
struct SoftmaxStats {
  float max = 0;
  float sum = 0;  // of exp(x - max), in the canonical order
};
using SoftmaxStatsFn = SoftmaxStats (*)(const float* x, std::int64_t n);

}  // namespace troupe::kernels
