// What kernels took, as lines of a table and as JSON.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "services/bench/kernel_runs.hpp"
#include "services/bench/limits.hpp"

namespace troupe::services {

struct KernelRun {
  MachineLimits limits;
  std::int64_t pool_bytes = 0;   // weights that are gone through before one is read again
  std::int64_t cache_bytes = 0;  // of the last level
};

/// The limits and the column titles.
std::string kernel_table_head(const KernelRun& run);
/// One line under them. Shares of the read bandwidth only where weights or cache are read; of the
/// BF16, FMA or, with INT8 rows, INT8 peak only where multiply-adds are counted.
std::string kernel_table_line(const KernelResult& result, const MachineLimits& limits);
/// *Units*: seconds, bytes, 1e9 per second; shares as fractions, null where there is none.
std::string kernels_json(const KernelRun& run, const std::vector<KernelResult>& results);

}  // namespace troupe::services
