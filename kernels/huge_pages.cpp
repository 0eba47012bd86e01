// madvise(2) on whole pages.
#include "kernels/huge_pages.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace troupe::kernels {

namespace {

void advise(std::span<const std::byte> bytes, int advice) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first = begin - begin % page;
  // A refusal costs nothing but speed.
  static_cast<void>(
      ::madvise(reinterpret_cast<void*>(first), begin + bytes.size() - first, advice));
}

}  // namespace

void ask_for_huge_pages(std::span<const std::byte> bytes) { advise(bytes, MADV_HUGEPAGE); }
void ask_for_small_pages(std::span<const std::byte> bytes) { advise(bytes, MADV_NOHUGEPAGE); }

}  // namespace troupe::kernels
