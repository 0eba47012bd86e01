// Anonymous memory that is filled beside a mapping and then moved over it by mremap(2).
#include "model/checkpoint/weight_copies.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "kernels/huge_pages.hpp"

namespace troupe::model {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{4} << 20;

std::uintptr_t address(const std::byte* at) { return reinterpret_cast<std::uintptr_t>(at); }

/// The pages that hold some of these parts of `mapping`, ascending, neighbours together with what
/// is between them.
std::vector<std::span<const std::byte>> pages_of(
    std::span<const std::byte> mapping, std::span<const std::span<const std::byte>> parts) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  std::vector<std::span<const std::byte>> pages;
  for (const auto& part : parts) {
    if (part.empty() || part.data() < mapping.data() ||
        part.data() >= mapping.data() + mapping.size())
      continue;
    const std::byte* begin = part.data() - address(part.data()) % page;
    const std::uintptr_t over = address(part.data() + part.size()) % page;
    const std::byte* end = part.data() + part.size() + (over == 0 ? 0 : page - over);
    pages.emplace_back(begin, end);
  }
  std::ranges::sort(pages, {}, [](const auto& range) { return range.data(); });
  std::size_t count = 0;
  for (const auto& range : pages) {
    if (count > 0) {
      auto& last = pages[count - 1];
      const std::byte* end = last.data() + last.size();
      if (range.data() < end + kCopiedGapBytes) {
        last = {last.data(), std::max(end, range.data() + range.size())};
        continue;
      }
    }
    pages[count++] = range;
  }
  pages.resize(count);
  return pages;
}

/// Memory as far from the border of a large page as `like`, so that moving it there splits none.
/// Null: there is none.
std::byte* memory_like(const std::byte* like, std::size_t bytes) {
  constexpr std::size_t kHuge = kernels::kHugePageBytes;
  void* memory =
      ::mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* first = static_cast<std::byte*>(memory);
  const std::size_t before = (address(like) - address(first)) % kHuge;
  if (before > 0) ::munmap(first, before);
  if (before < kHuge) ::munmap(first + before + bytes, kHuge - before);
  return first + before;
}

/// Left to threads, stacks and heaps.
constexpr std::size_t kMappingsLeft = 4096;

/// The first number of a file of the system.
std::optional<std::size_t> number_in(const char* path) {
  std::ifstream file(path);
  std::size_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

std::size_t mappings_held() {
  std::ifstream maps("/proc/self/maps");
  return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(maps), {}, '\n'));
}

Unexpected too_many_mappings(const std::string& why) {
  return unexpected(Errc::resource_exhausted,
                    "copies of weights cannot take the place of what is mapped: " + why +
                        ". Raise vm.max_map_count (sysctl), or do without --weights copied and "
                        "engine.weights");
}

}  // namespace

Expected<WeightCopies> WeightCopies::reserve(const MappedFile& file,
                                             std::span<const std::span<const std::byte>> parts,
                                             bool huge_pages) {
  WeightCopies copies(file);
  std::uint64_t bytes = 0;
  const auto all = pages_of(file.bytes(), parts);
  for (const auto& pages : all) bytes += pages.size();
  for (const auto& pages : all)
    if (!copies.take(pages, huge_pages))
      return unexpected(Errc::resource_exhausted,
                        "no memory for copies of weights, " + std::to_string(bytes >> 20) +
                            " MiB of " + file.path() + ": " + std::strerror(errno) +
                            ". Raise the limit (ulimit -v), or do without --weights copied and "
                            "engine.weights");
  return copies;
}

bool WeightCopies::take(std::span<const std::byte> pages, bool huge_pages) {
  std::byte* memory = memory_like(pages.data(), pages.size());
  if (memory == nullptr) return false;
  const std::span<const std::byte> copy(memory, pages.size());
  if (huge_pages)
    kernels::ask_for_huge_pages(copy);
  else
    kernels::ask_for_small_pages(copy);
  for (std::size_t first = 0; first < copy.size(); first += kPieceBytes)
    pieces_.push_back({ranges_.size(), first, std::min(kPieceBytes, copy.size() - first)});
  ranges_.push_back({pages, memory});
  return true;
}

WeightCopies::WeightCopies(WeightCopies&& other) noexcept
    : file_(other.file_),
      ranges_(std::exchange(other.ranges_, {})),
      pieces_(std::exchange(other.pieces_, {})) {}

WeightCopies::~WeightCopies() {
  for (const Range& range : ranges_)
    if (range.copy != nullptr) ::munmap(range.copy, range.mapped.size());
}

std::vector<std::span<const std::byte>> WeightCopies::ranges() const {
  std::vector<std::span<const std::byte>> all;
  for (const Range& range : ranges_) all.push_back(range.mapped);
  return all;
}

std::uint64_t WeightCopies::bytes() const {
  std::uint64_t sum = 0;
  for (const Range& range : ranges_) sum += range.mapped.size();
  return sum;
}

Expected<void> WeightCopies::fill(std::size_t piece) const {
  const auto& [place, first, count] = pieces_[piece];
  const Range& range = ranges_[place];
  const auto all = file_->bytes();
  const auto at = static_cast<std::size_t>(range.mapped.data() - all.data()) + first;
  // What is behind the end of the file in its last page is zero, in both.
  return file_->read(at, {range.copy + first, std::min(count, all.size() - at)});
}

namespace {

/// mremap(2) to `to`, over what is mapped there. Not by the library's function: UCX puts its own in
/// the place of that (1.13.1, ucm), which passes on four arguments and so loses this one.
bool move_mapping(std::byte* from, std::size_t bytes, std::byte* to) {
  return ::syscall(SYS_mremap, from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) != -1;
}

}  // namespace

Expected<void> WeightCopies::put_in_place() {
  for (Range& range : ranges_) {
    auto* to = const_cast<std::byte*>(range.mapped.data());
    const std::size_t bytes = range.mapped.size();
    if (::mprotect(range.copy, bytes, PROT_READ) != 0 || !move_mapping(range.copy, bytes, to))
      return too_many_mappings(std::strerror(errno));
    range.copy = nullptr;
  }
  return {};
}

Expected<void> check_mappings(std::size_t ranges) {
  const auto allowed = number_in("/proc/sys/vm/max_map_count");
  const std::size_t held = mappings_held();
  // A range in the middle of a mapping makes three of one.
  if (!allowed || held + 2 * ranges + kMappingsLeft <= *allowed) return {};
  return too_many_mappings(std::to_string(ranges) + " parts of files are 2 mappings each, of the " +
                           std::to_string(*allowed) + " that a process may have " +
                           std::to_string(held) + " are there, and it needs " +
                           std::to_string(kMappingsLeft) + " besides");
}

}  // namespace troupe::model
