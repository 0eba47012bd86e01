// Runs of what has no weights, or one row of them for each row: norms, rotations, quantising, rows
// in and out.
#pragma once
#include "services/bench/kernel_runs.hpp"

namespace troupe::services {

/// `prepare_kernel` for the operations of rows alone.
PreparedKernel prepare_row_work(const KernelCase& one, const kernels::Engine& engine,
                                WeightPool& pool);

}  // namespace troupe::services
