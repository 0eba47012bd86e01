// Asks for memory and gives it back.
#include "model/memory_bounds.hpp"

#include <sys/mman.h>

#include <cstdlib>

namespace troupe::model {

bool system_has(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  ::munmap(memory, bytes);
  return true;
}

bool heap_has(std::size_t bytes) {
  auto* memory = static_cast<volatile char*>(std::malloc(bytes));
  if (memory == nullptr) return false;
  *memory = 0;  // or the compiler leaves it all out
  std::free(const_cast<char*>(memory));
  return true;
}

void claim_memory(std::size_t bytes) {
  if (!system_has(bytes + kLeftBySteps)) throw std::bad_alloc();
}

}  // namespace troupe::model
