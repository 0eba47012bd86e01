// What this machine gives the process: cores, memory.
#pragma once
#include <cstdint>
#include <optional>

namespace troupe::services {

/// Cores this process may run on.
int cores_allowed();

struct MemoryBytes {
  std::uint64_t total = 0;      // of the machine, or the container's limit if that is less
  std::uint64_t available = 0;  // that a new process can have without swapping
};
/// Nothing when /proc/meminfo cannot be read. *Source*: proc(5); cgroup v2 `memory.max`.
std::optional<MemoryBytes> memory();

}  // namespace troupe::services
