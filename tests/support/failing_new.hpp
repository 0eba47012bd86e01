// Allocations that fail when a test says so. For programs that failing_new.cpp is a source of.
#pragma once
#include <cstddef>
#include <cstdint>

namespace troupe::testing {

/// While it lives, `operator new` has no `bytes_min` to `bytes_max` bytes, on any thread. One at a
/// time.
class NoMemoryFor {
 public:
  explicit NoMemoryFor(std::size_t bytes_min, std::size_t bytes_max = SIZE_MAX);
  NoMemoryFor(const NoMemoryFor&) = delete;
  ~NoMemoryFor();

  /// How often there was none.
  int failures() const;
};

}  // namespace troupe::testing
