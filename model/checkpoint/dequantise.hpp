// The values of a stored weight in F32, a row at a time, whatever its format.
#pragma once
#include <cstdint>
#include <span>

#include "kernels/ops/weight_matrix.hpp"

namespace troupe::model {

/// out [w.cols] = row `row` in the order of the inputs: code times scale, rounded to F32 once;
/// exact for BF16, F32 and 4-bit codes. *Source*: specification 4.2 and 4.8.
void dequantise_row(const kernels::WeightMatrix& w, std::int64_t row, std::span<float> out);

}  // namespace troupe::model
