// What is fast on this CPU, found out by trying: no list of models knows those to come.
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cpu/levels.hpp"

namespace troupe::kernels::cpu {
namespace {

/// Fewest ticks of eight calls.
template <class Call>
std::uint64_t fewest_ticks(const Call& call) {
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t start = __rdtsc();
    call();
    least = std::min<std::uint64_t>(least, __rdtsc() - start);
  }
  return least;
}

std::uint64_t multiplication_ticks(float factor) {
  return fewest_ticks([factor] {
    for (int i = 0; i < 64; ++i) {
      float product = 0x1p64f;
      asm volatile("vmulss %1, %0, %0" : "+x"(product) : "x"(factor));
    }
  });
}

/// Operations a tick.
double rate(FmaProbeFn probe) {
  constexpr std::int64_t kRounds = 256;
  std::int64_t operations = 0;
  const std::uint64_t ticks = fewest_ticks([&] {
    float value = 0;
    operations = probe(kRounds, &value);
    asm volatile("" : : "x"(value));
  });
  return static_cast<double>(operations) / static_cast<double>(ticks);
}

}  // namespace

std::size_t level2_bytes() {
  // What a virtual machine says need not be so, and each thread has memory by it.
  static const long said = std::min(sysconf(_SC_LEVEL2_CACHE_SIZE), 4L << 20);
  return said > 0 ? static_cast<std::size_t>(said) : std::size_t{1} << 20;
}

bool subnormals_are_slow() {
  // 250 ticks against one on Intel's, one against one on AMD's.
  static const bool slow = multiplication_ticks(0x1p-129f) > 16 * multiplication_ticks(1.0f);
  return slow;
}

bool bf16_products_are_fast() {
  for (const int has : {__builtin_cpu_supports("avx512bf16"), __builtin_cpu_supports("avx512dq"),
                        __builtin_cpu_supports("avx512bw"), __builtin_cpu_supports("avx512vl")})
    if (has == 0) return false;
  static const bool fast = rate(bf16_probe()) > 1.25 * rate(fma_probe_levels().avx512);
  return fast;
}

}  // namespace troupe::kernels::cpu
