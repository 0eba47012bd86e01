// Which pages of mapped bytes are in this process' page table.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "model/checkpoint/shards.hpp"

namespace troupe::testing {

/// Of each page that holds some of `bytes`: whether it is in this process' page table.
inline std::vector<bool> mapped_pages(std::span<const std::byte> bytes) {
  const int map = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  EXPECT_GE(map, 0);
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data()) / page;
  const auto last = (reinterpret_cast<std::uintptr_t>(bytes.data()) + bytes.size() - 1) / page;
  std::vector<bool> mapped;
  for (auto at = begin; at <= last; ++at) {
    std::uint64_t entry = 0;
    EXPECT_EQ(::pread(map, &entry, sizeof entry, static_cast<off_t>(at * sizeof entry)),
              static_cast<ssize_t>(sizeof entry));
    mapped.push_back(entry >> 63 != 0);
  }
  ::close(map);
  return mapped;
}

/// How many of the pages that hold `tensor` are there, and how many there are.
inline std::pair<int, int> pages_mapped(const model::TensorView& tensor) {
  const auto pages = mapped_pages({tensor.data, tensor.bytes});
  return {static_cast<int>(std::ranges::count(pages, true)), static_cast<int>(pages.size())};
}

}  // namespace troupe::testing
