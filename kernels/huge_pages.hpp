// Memory in large pages where the system gives them: fewer address translations while it streams.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <new>
#include <span>

namespace troupe::kernels {

/// Asks for large pages (2 MiB on x86-64) for the pages that hold these bytes. Nothing happens
/// where there are none. Of a mapping that is read later this decides how the file is read.
void ask_for_huge_pages(std::span<const std::byte> bytes);
/// Asks for none, where the system would give them unasked: Linux maps what it has of a file in
/// large pages as these.
void ask_for_small_pages(std::span<const std::byte> bytes);

/// Bytes of a large page.
inline constexpr std::size_t kHugePageBytes = std::size_t{1} << 21;

/// Memory for std::vector; from 2 MiB on it asks for large pages.
template <class T>
struct HugePageAllocator {
  using value_type = T;

  HugePageAllocator() = default;
  template <class Other>
  HugePageAllocator(const HugePageAllocator<Other>&) {}

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if (bytes < kHugePageBytes) return static_cast<T*>(::operator new(bytes));
    void* memory = nullptr;
    if (::posix_memalign(&memory, kHugePageBytes, bytes) != 0) throw std::bad_alloc();
    ask_for_huge_pages({static_cast<const std::byte*>(memory), bytes});
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) {
    if (count * sizeof(T) < kHugePageBytes)
      ::operator delete(memory);
    else
      std::free(memory);
  }
  friend bool operator==(const HugePageAllocator&, const HugePageAllocator&) { return true; }
};

}  // namespace troupe::kernels
