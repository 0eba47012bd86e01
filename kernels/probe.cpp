// Times the probe loops of kernels/cpu/probe.cpp over the pool.
#include "kernels/probe.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "kernels/cpu/levels.hpp"
#include "kernels/huge_pages.hpp"

namespace troupe::kernels {
namespace {

constexpr std::int64_t kReadBytes = 256 << 20;
constexpr std::int64_t kProbeRounds = 100'000;
constexpr int kPasses = 5;

/// Shortest of kPasses calls, in seconds.
template <class Pass>
double shortest_seconds(const Engine& engine, const Pass& pass) {
  double best = 1e300;
  for (int i = 0; i < kPasses; ++i) {
    const double start = probe_seconds(engine);
    pass();
    best = std::min(best, probe_seconds(engine) - start);
  }
  return best;
}

void share_out(const Engine& engine, std::int64_t count, std::int64_t grain,
               const ComputePool::Share& share) {
  if (engine.pool != nullptr) return engine.pool->parallel_for(count, grain, share);
  share(0, count);
}

template <class Fn>
Fn pick(const Engine& engine, const cpu::Levels<Fn>& levels) {
  return levels.at(engine.table == nullptr ? "" : engine.table->name);
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

/// Operations per second, in units of 1e9, of all threads together.
template <class Value, class Probe>
double peak(const Engine& engine, const Probe& probe) {
  const int threads = engine.pool == nullptr ? 1 : engine.pool->threads();
  // Four shares a thread: the calling thread takes part in its pool's work.
  const std::int64_t shares = 4 * threads;
  std::atomic<std::int64_t> operations{0};
  std::atomic<Value> value{0};
  const double seconds = shortest_seconds(engine, [&] {
    operations = 0;
    share_out(engine, shares, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        Value result = 0;
        operations += probe(kProbeRounds, &result);
        value = result;  // keeps the sums alive
      }
    });
  });
  return static_cast<double>(operations.load()) / seconds * 1e-9;
}

}  // namespace

double probe_seconds(const Engine& engine) {
  timespec now{};
  clock_gettime(engine.pool == nullptr ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double read_bandwidth_gbs(const Engine& engine) {
  const std::unique_ptr<void, Free> memory(std::aligned_alloc(std::size_t{1} << 21, kReadBytes));
  if (memory == nullptr) return 0;
  ask_for_huge_pages({static_cast<const std::byte*>(memory.get()), kReadBytes});
  auto* bytes = static_cast<std::uint8_t*>(memory.get());
  share_out(engine, kReadBytes, cpu::kReadProbeBytes, [&](std::int64_t begin, std::int64_t end) {
    std::fill(bytes + begin, bytes + end, std::uint8_t{1});
  });
  const cpu::ReadProbeFn read = pick(engine, cpu::read_probe_levels());
  std::atomic<std::uint64_t> total{0};
  const double seconds = shortest_seconds(engine, [&] {
    share_out(engine, kReadBytes, cpu::kReadProbeBytes, [&](std::int64_t begin, std::int64_t end) {
      std::uint64_t sum = 0;
      for (std::int64_t at = begin; at < end; at += cpu::kReadProbeBytes) sum += read(bytes + at);
      total += sum;  // keeps the reads alive
    });
  });
  return static_cast<double>(kReadBytes) / seconds * 1e-9;
}

double fma_peak_gflops(const Engine& engine) {
  return peak<float>(engine, pick(engine, cpu::fma_probe_levels()));
}

double bf16_peak_gflops(const Engine& engine) {
  return peak<float>(engine, pick(engine, cpu::bf16_probe_levels()));
}

bool multiplies_bf16(const Engine& engine) {
  return pick(engine, cpu::bf16_probe_levels()) != pick(engine, cpu::fma_probe_levels());
}

double tile_peak_gflops(const Engine& engine) {
  return peak<float>(engine, pick(engine, cpu::tile_probe_levels()));
}

bool multiplies_tiles(const Engine& engine) {
  return pick(engine, cpu::tile_probe_levels()) != pick(engine, cpu::fma_probe_levels());
}

double int8_peak_gops(const Engine& engine) {
  return peak<std::int32_t>(engine, pick(engine, cpu::int8_probe_levels()));
}

}  // namespace troupe::kernels
