// Linear layer: rows times the transpose of a stored weight, in the canonical summation order or in
// that of AMX's tiles.
#pragma once
#include <cstdint>

#include "kernels/ops/weight_matrix.hpp"

namespace troupe::kernels {

/// Arguments of `linear`. Activations are F32 in memory in every mode; in mode bf16 their values
/// have been rounded before, in mode fp8-act they are e4m3 values (raw, before the scale). In mode
/// int8-act rows for INT8 and INT4 weights are INT8 codes instead, in `x_codes`.
///
/// Shapes: x [tokens, w.cols], y [tokens, w.rows].
/// Numbers: docs/adr/0001, of `linear_tiles` 0007. For every (row, feature) the same bits whatever
/// `tokens`, the share of features a call computes, the level, and the byte offset of the weight.
struct LinearArgs {
  const float* x = nullptr;   // [tokens, w.cols]
  std::int64_t x_stride = 0;  // floats from one row of x to the next
  // Rows quantised to INT8, [tokens, padded_codes(w.cols)] contiguous, +0 from w.cols on; in place
  // of x. Null: not in INT8.
  const std::int8_t* x_codes = nullptr;
  const float* x_scales = nullptr;  // [tokens, ceil(w.cols/128)] contiguous; null: not quantised
  WeightMatrix w;
  float* y = nullptr;         // [tokens, w.rows]
  std::int64_t y_stride = 0;  // floats from one row of y to the next
  std::int64_t tokens = 0;
  // Of the call that this is a share of: all with the same number have the same values at the same
  // `x`, so that a thread may use again what it has prepared of them. 0: nothing is used again.
  std::uint64_t call = 0;
};

/// Aborts on argument combinations that no caller may make: scales that the dtype does not have or
/// missing ones, quantised rows with other weights than e4m3, dtypes that no weight has.
void check_linear(const LinearArgs& args);

/// Columns of a tile: in `linear_tiles` the even ones and the odd ones of so many have sums of
/// their own, which are added to that of all.
inline constexpr std::int64_t kTileColumns = 32;
/// Aborts on arguments that `linear_tiles` does not take: rows that are quantised, weights other
/// than of BF16 and e4m3.
void check_linear_tiles(const LinearArgs& args);

/// Computes output features [begin, end) of every row. *Threading*: any; shares must not overlap.
/// Rows of codes are `linear_int8`'s, others are `linear`'s or, in the order of AMX's tiles (ADR
/// 0007), `linear_tiles`', which rounds x to BF16.
using LinearFn = void (*)(const LinearArgs& args, std::int64_t begin, std::int64_t end);

}  // namespace troupe::kernels
