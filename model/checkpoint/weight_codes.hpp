// Refuses weights that hold NaN or infinity, fast enough to run over every byte at load.
#pragma once
#include <cstdint>
#include <string_view>

#include "core/expected.hpp"
#include "kernels/ops/weight_matrix.hpp"

namespace troupe::model {

/// Reads what may be no number: F8_E4M3 must not hold NaN codes (0x7F, 0xFF), BF16 and F32 neither
/// NaN nor infinity, BF16 scales of groups nothing of 2^65 or more either (ADR 0001); integer codes
/// are all numbers. Scales of blocks and rows, and those with zero points, are checked where
/// matrices are made.
/// *Errors*: `malformed`, naming the tensor `name` and the row and column of the first such value.
/// *Threading*: any; blocks on the disk. *Source*: design 7, specification 4.1.
Expected<void> check_codes(std::string_view name, const kernels::WeightMatrix& matrix);

/// Rows [first, last) of a matrix.
struct RowSpan {
  std::int64_t first = 0;
  std::int64_t last = 0;
};
/// The same for a part, so that large matrices can be shared out among threads.
Expected<void> check_codes(std::string_view name, const kernels::WeightMatrix& matrix,
                           RowSpan rows);

}  // namespace troupe::model
