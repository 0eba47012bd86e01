// Which pages of a mapped tensor are in this process' page table.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "model/checkpoint/shards.hpp"

namespace troupe::testing {

/// How many of the pages that hold `tensor` are in this process' page table, and how many there
/// are.
inline std::pair<int, int> pages_mapped(const model::TensorView& tensor) {
  const int map = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  EXPECT_GE(map, 0);
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(tensor.data) / page;
  const auto last = (reinterpret_cast<std::uintptr_t>(tensor.data) + tensor.bytes - 1) / page;
  int mapped = 0;
  for (auto at = begin; at <= last; ++at) {
    std::uint64_t entry = 0;
    EXPECT_EQ(::pread(map, &entry, sizeof entry, static_cast<off_t>(at * sizeof entry)),
              static_cast<ssize_t>(sizeof entry));
    mapped += static_cast<int>(entry >> 63);
  }
  ::close(map);
  return {mapped, static_cast<int>(last - begin + 1)};
}

}  // namespace troupe::testing
