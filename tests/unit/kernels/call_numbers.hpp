// Numbers for LinearArgs::call, none of them twice in a program: a thread keeps what it prepared
// last beyond the test.
#pragma once
#include <cstdint>

namespace troupe::kernels {

/// Far from those that an Engine gives.
inline std::uint64_t next_call_number() {
  static std::uint64_t last = std::uint64_t{1} << 32;
  return ++last;
}

}  // namespace troupe::kernels
