// Reads sched_getaffinity, /proc/meminfo and the control group's memory limit.
#include "services/runtime/machine.hpp"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

namespace troupe::services {
namespace {

/// The number in a control group file; nothing when it is absent or says "max".
std::optional<std::uint64_t> control_group_bytes(const char* path) {
  std::uint64_t bytes = 0;
  if (std::ifstream file(path); file >> bytes) return bytes;
  return std::nullopt;
}

}  // namespace

int cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::optional<MemoryBytes> memory() {
  std::ifstream file("/proc/meminfo");
  MemoryBytes bytes;
  std::string key, rest;
  std::uint64_t kib = 0;
  while (file >> key >> kib && std::getline(file, rest)) {
    if (key == "MemTotal:") bytes.total = kib * 1024;
    if (key == "MemAvailable:") bytes.available = kib * 1024;
  }
  if (bytes.total == 0) return std::nullopt;
  if (const auto limit = control_group_bytes("/sys/fs/cgroup/memory.max")) {
    const auto used = control_group_bytes("/sys/fs/cgroup/memory.current").value_or(0);
    bytes.total = std::min(bytes.total, *limit);
    bytes.available = std::min(bytes.available, *limit - std::min(*limit, used));
  }
  return bytes;
}

}  // namespace troupe::services
