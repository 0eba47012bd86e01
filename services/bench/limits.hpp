// An engine of so many threads that is not part of a cluster, and what its machine can do at best.
#pragma once
#include <memory>
#include <string>

#include "core/expected.hpp"
#include "kernels/engine.hpp"

namespace troupe::services {

/// The limits that shares are shares of, measured by kernels/probe.hpp.
struct MachineLimits {
  int threads = 1;
  std::string level;       // "avx2"
  double read_gbs = 0;     // 1e9 bytes per second; 0: could not be measured
  double fma_gflops = 0;   // 1e9 F32 operations per second, two per multiply-add
  double bf16_gflops = 0;  // the same of BF16; fma_gflops where the level has nothing for them
  double int8_gops = 0;    // 1e9 operations on INT8 codes per second, likewise
  double tile_gflops = 0;  // of BF16 in the order of AMX's tiles, likewise
};

/// The calling thread and `threads` - 1 others. One thread alone has no pool, so that probes and
/// timings use its CPU time, which other load on the machine does not lengthen.
class BenchEngine {
 public:
  /// *Errors*: `resource_exhausted` when the system has no more threads.
  static Expected<BenchEngine> make(const kernels::KernelTable* table, int threads);

  const kernels::Engine& engine() const { return engine_; }
  /// Measures; takes about 0.5 s.
  MachineLimits limits() const;

 private:
  std::unique_ptr<kernels::ComputePool> pool_;
  kernels::Engine engine_;
};

/// "63%" of `limit`; "-" without a value or a limit.
std::string share_text(double value, double limit);

}  // namespace troupe::services
