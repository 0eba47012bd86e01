// The program's operator new and delete: a sanitizer's would not know the others' memory.
#include "tests/support/failing_new.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> from{SIZE_MAX}, to{SIZE_MAX};
std::atomic<int> failed{0};

void* taken(void* memory, std::size_t bytes) {
  const bool fails = bytes >= from.load() && bytes <= to.load();
  if (!fails && memory != nullptr) return memory;
  std::free(memory);
  failed += fails ? 1 : 0;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return taken(std::malloc(bytes > 0 ? bytes : 1), bytes); }
void* operator new[](std::size_t bytes) { return ::operator new(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return ::operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  return taken(std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit), bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace troupe::testing {

NoMemoryFor::NoMemoryFor(std::size_t bytes_min, std::size_t bytes_max) {
  failed = 0;
  to = bytes_max;
  from = bytes_min;
}
NoMemoryFor::~NoMemoryFor() { from = SIZE_MAX; }

int NoMemoryFor::failures() const { return failed; }

}  // namespace troupe::testing
