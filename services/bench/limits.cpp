// Starts the pool and asks the probes.
#include "services/bench/limits.hpp"

#include <array>
#include <cstdio>
#include <system_error>

#include "kernels/probe.hpp"

namespace troupe::services {

Expected<BenchEngine> BenchEngine::make(const kernels::KernelTable* table, int threads) {
  BenchEngine made;
  if (threads > 1) {
    try {
      made.pool_ = std::make_unique<kernels::ComputePool>(
          kernels::ComputePool::Settings{.threads = threads, .with_caller = true});
    } catch (const std::system_error& error) {
      return unexpected(Errc::resource_exhausted, "--threads " + std::to_string(threads) +
                                                      ": the system has not so many (" +
                                                      error.what() + "). Ask for fewer");
    }
  }
  made.engine_ = {.table = table, .pool = made.pool_.get()};
  return made;
}

MachineLimits BenchEngine::limits() const {
  MachineLimits limits;
  limits.threads = engine_.pool == nullptr ? 1 : engine_.pool->threads();
  limits.level = engine_.table->name;
  limits.read_gbs = kernels::read_bandwidth_gbs(engine_);
  limits.fma_gflops = kernels::fma_peak_gflops(engine_);
  limits.bf16_gflops =
      kernels::multiplies_bf16(engine_) ? kernels::bf16_peak_gflops(engine_) : limits.fma_gflops;
  limits.tile_gflops =
      kernels::multiplies_tiles(engine_) ? kernels::tile_peak_gflops(engine_) : limits.fma_gflops;
  limits.int8_gops = kernels::int8_peak_gops(engine_);
  return limits;
}

std::string share_text(double value, double limit) {
  if (value <= 0 || limit <= 0) return "-";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.0f%%", 100 * value / limit);
  return text.data();
}

}  // namespace troupe::services
