// Working memory of one compute thread, kept between calls.
#pragma once
#include <cstddef>

namespace troupe::kernels::cpu {

/// At least `floats` floats, aligned to 64 bytes, contents undefined. Valid until this thread's
/// next call: an operation asks once and divides what it gets.
float* scratch(std::size_t floats);

}  // namespace troupe::kernels::cpu
