// Whether subnormal numbers are slow here.
#include <x86intrin.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cpu/levels.hpp"

namespace troupe::kernels::cpu {
namespace {

/// Fewest ticks of some runs of 64 multiplications by `factor`.
std::uint64_t ticks_of(float factor) {
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (int run = 0; run < 8; ++run) {
    const std::uint64_t start = __rdtsc();
    for (int i = 0; i < 64; ++i) {
      float product = 0x1p64f;
      asm volatile("vmulss %1, %0, %0" : "+x"(product) : "x"(factor));
    }
    least = std::min<std::uint64_t>(least, __rdtsc() - start);
  }
  return least;
}

}  // namespace

bool subnormals_are_slow() {
  // 250 ticks against one on Intel's, one against one on AMD's.
  static const bool slow = ticks_of(0x1p-129f) > 16 * ticks_of(1.0f);
  return slow;
}

}  // namespace troupe::kernels::cpu
