// Runs one kernel case again and again over ever new weights, and counts what it has to move.
#pragma once
#include <functional>
#include <optional>

#include "kernels/engine.hpp"
#include "services/bench/kernel_cases.hpp"
#include "services/bench/weight_pool.hpp"

namespace troupe::services {

/// A case with its rows, ready to be run; every call takes the pool's next weights.
struct PreparedKernel {
  std::function<void()> once;
  double bytes = 0;          // weights with scales, or cache; for what has neither: rows in and out
  double flops = 0;          // two per multiply-add; 0: not counted (row-wise operations)
  double block_flops = 0;    // F32 ones beside them: sums of scale blocks into those of rows
  bool from_memory = false;  // `bytes` come from memory, not from a cache
};

/// `engine` and `pool` must outlive it. *Threading*: one thread calls.
PreparedKernel prepare_kernel(const KernelCase& one, const kernels::Engine& engine,
                              WeightPool& pool);

/// What a case took.
struct KernelResult {
  KernelCase what;
  double seconds = 0;  // of the fastest run: other load on the machine only ever adds time
  std::int64_t runs = 0;
  double bytes = 0, flops = 0, block_flops = 0;  // of one run, as in PreparedKernel
  bool from_memory = false;

  double gb_per_s() const { return bytes / seconds * 1e-9; }
  double gflops() const { return flops / seconds * 1e-9; }
};

/// How long a case is repeated, and what may end it early.
struct Repeating {
  double seconds_min = 0;      // by the clock of kernels/probe.hpp; at least one run in any case
  std::function<bool()> stop;  // looked at between runs
};
/// Nothing when it was stopped.
std::optional<KernelResult> measure_kernel(const KernelCase& one, const kernels::Engine& engine,
                                           WeightPool& pool, const Repeating& repeating);

}  // namespace troupe::services
