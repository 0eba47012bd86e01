// A process that may not have much more memory than it has.
#pragma once
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <string>

/// Their allocators reserve terabytes, and end the process where there is no memory.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TROUPE_SANITIZED 1
#else
#define TROUPE_SANITIZED 0
#endif

namespace troupe::testing {

/// From now on this process gets `bytes` more of private memory.
inline void leave_memory(std::size_t bytes) {
  std::ifstream status("/proc/self/status");
  std::string word;
  rlim_t held_kib = 0;
  while (status >> word && word != "VmData:") {
  }
  status >> held_kib;
  rlimit limit{};
  ::getrlimit(RLIMIT_DATA, &limit);
  limit.rlim_cur = (held_kib << 10) + bytes;
  ::setrlimit(RLIMIT_DATA, &limit);
}

}  // namespace troupe::testing
