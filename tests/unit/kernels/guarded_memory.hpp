// Memory between two pages that may not be touched: a read past either end is a crash.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <span>

namespace troupe::kernels {

/// `size` bytes whose end (or start) touches an inaccessible page.
class GuardedMemory {
 public:
  enum class Edge { end, start };

  GuardedMemory(std::size_t size, Edge edge) : size_(size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inner = (size + page - 1) / page * page;
    total_ = inner + 2 * page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, total_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + page, inner, PROT_READ | PROT_WRITE);
    data_ = edge == Edge::start ? base_ + page : base_ + page + inner - size;
  }
  GuardedMemory(const GuardedMemory&) = delete;
  ~GuardedMemory() { munmap(base_, total_); }

  std::byte* data() const { return data_; }
  /// Copies `from` to `offset` bytes behind the start.
  void fill(std::span<const std::byte> from, std::size_t offset = 0) const {
    if (!from.empty()) {  // memcpy may not be given the null pointer of an empty span
      std::memcpy(data_ + offset, from.data(), from.size());
    }
  }

 private:
  std::byte* base_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t total_ = 0;
};

}  // namespace troupe::kernels
