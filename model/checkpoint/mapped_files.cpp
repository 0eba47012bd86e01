// Maps files and keeps the table from which the SIGBUS handler finds a file by address.
#include "model/checkpoint/mapped_files.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string_view>
#include <vector>

#include "kernels/huge_pages.hpp"
#include "model/checkpoint/files.hpp"

namespace troupe::model {
namespace {

constexpr int kExitModelInvalid = 4;

/// One mapping. `begin` is written last and cleared first, so a handler that sees it non-zero finds
/// the rest in place; 0 marks a free slot.
struct Slot {
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};
  std::array<char, 1024> path{};
};

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free);

std::array<Slot, kMappedFilesMax> g_slots;
std::mutex g_slots_mutex;  // writers only

std::size_t list(const std::string& path, std::span<const std::byte> bytes) {
  const std::lock_guard lock(g_slots_mutex);
  for (std::size_t i = 0; i < g_slots.size(); ++i) {
    Slot& slot = g_slots[i];
    if (slot.begin.load(std::memory_order_relaxed) != 0) continue;
    const std::size_t length = std::min(path.size(), slot.path.size() - 1);
    std::memcpy(slot.path.data(), path.data(), length);
    slot.path[length] = '\0';
    const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
    // The kernel maps whole pages; the last one may be missing although its start is before `end`.
    slot.end.store(begin + bytes.size(), std::memory_order_relaxed);
    slot.begin.store(begin, std::memory_order_release);
    return i;
  }
  return kMappedFilesMax;
}

void unlist(std::size_t slot) {
  const std::lock_guard lock(g_slots_mutex);
  g_slots[slot].begin.store(0, std::memory_order_release);
}

/// Only what signal-safety(7) allows.
void say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void on_sigbus(int, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (const Slot& slot : g_slots) {
    const std::uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= slot.end.load(std::memory_order_relaxed))
      continue;
    end_for_truncated_file({slot.path.data(), ::strnlen(slot.path.data(), slot.path.size())});
  }
  // Not ours: with the default action in place, returning repeats the fault.
  ::signal(SIGBUS, SIG_DFL);
  if (info->si_code <= 0) ::raise(SIGBUS);  // sent by kill(2): there is no fault to repeat
}

Expected<std::span<const std::byte>> map_file(int file, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(file, &info) != 0) return unexpected(os_error("stat", path, errno));
  if (!S_ISREG(info.st_mode))
    return unexpected(Errc::malformed, path.string() + ": not a regular file");
  if (info.st_size == 0) return unexpected(Errc::truncated, path.string() + ": the file is empty");
  const auto bytes = static_cast<std::size_t>(info.st_size);
  void* data = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
  if (data == MAP_FAILED) return unexpected(os_error("map", path, errno));
  return std::span(static_cast<const std::byte*>(data), bytes);
}

void unmap(std::span<const std::byte> bytes) {
  ::munmap(const_cast<std::byte*>(bytes.data()), bytes.size());
}

}  // namespace

Expected<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: a named pipe is refused below instead of waited for.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return unexpected(os_error("open", path, errno));
  const Expected<std::span<const std::byte>> bytes = map_file(file, path);
  if (!bytes) {
    ::close(file);
    return unexpected(bytes.error());
  }
  const std::size_t slot = list(path.string(), *bytes);
  if (slot == kMappedFilesMax) {
    unmap(*bytes);
    ::close(file);
    return unexpected(Errc::resource_exhausted, path.string() + ": more than " +
                                                    std::to_string(kMappedFilesMax) +
                                                    " files are mapped by this process");
  }
  return MappedFile(path.string(), *bytes, file, slot);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(other.bytes_), file_(other.file_), slot_(other.slot_) {
  other.bytes_ = {};
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this == &other) return *this;
  close();
  path_ = std::move(other.path_);
  bytes_ = other.bytes_;
  file_ = other.file_;
  slot_ = other.slot_;
  other.bytes_ = {};
  return *this;
}

MappedFile::~MappedFile() { close(); }

void MappedFile::close() {
  if (bytes_.data() == nullptr) return;
  unlist(slot_);
  unmap(bytes_);
  ::close(file_);
  bytes_ = {};
}

bool MappedFile::has_its_size() const {
  struct stat info {};
  return ::fstat(file_, &info) == 0 && static_cast<std::size_t>(info.st_size) == bytes_.size();
}

void MappedFile::forget_pages() const {
  // Private and read-only: there is nothing to lose. A refusal costs memory only.
  static_cast<void>(::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED));
}

Expected<void> MappedFile::read(std::size_t offset, std::span<std::byte> to) const {
  for (std::size_t done = 0; done < to.size();) {
    const ssize_t got =
        ::pread(file_, to.data() + done, to.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unexpected(os_error("read", path_, errno));
    if (got == 0)
      return unexpected(Errc::truncated, path_ + ": changed its size while it was read");
    done += static_cast<std::size_t>(got);
  }
  return {};
}

namespace {

/// The pages that hold these bytes; mappings are made of nothing else.
std::span<std::byte> whole_pages(std::span<const std::byte> bytes) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first = begin - begin % page;
  return {reinterpret_cast<std::byte*>(first), begin + bytes.size() - first};
}

}  // namespace

void populate(std::span<const std::byte> bytes) {
#ifndef MADV_POPULATE_READ
  constexpr int MADV_POPULATE_READ = 22;  // of kernels younger than these headers
#endif
  const auto pages = whole_pages(bytes);
  static_cast<void>(::madvise(pages.data(), pages.size(), MADV_POPULATE_READ));
}

bool fit_huge_pages(std::vector<std::span<const std::byte>> parts) {
  constexpr auto kPage = static_cast<std::uintptr_t>(kernels::kHugePageBytes);
  std::ranges::sort(parts, {}, [](const auto& part) { return part.data(); });
  std::uintptr_t read = 0;
  std::uintptr_t held = 0;
  std::uintptr_t end = 0;  // of the pages counted so far
  for (const auto& part : parts) {
    if (part.empty()) continue;
    const auto begin = reinterpret_cast<std::uintptr_t>(part.data());
    const std::uintptr_t last = (begin + part.size() + kPage - 1) / kPage * kPage;
    read += part.size();
    if (last > end) held += last - std::max(end, begin / kPage * kPage);
    end = std::max(end, last);
  }
  return held <= read + read / 10;
}

Expected<void> bring_in(std::span<const std::byte> bytes, PageUse use) {
  const auto pages = whole_pages(bytes);
  populate(bytes);
  if (!use.locked || ::mlock(pages.data(), pages.size()) == 0) return {};
  const std::string why = std::strerror(errno);
  struct rlimit limit {};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  return unexpected(Errc::resource_exhausted,
                    "weights cannot be locked in memory: " + why +
                        ". Of locked memory the system "
                        "allows " +
                        std::to_string(limit.rlim_cur >> 10) +
                        " KiB (ulimit -l): raise that, or do without --lock-weights and "
                        "engine.lock_weights");
}

namespace {

/// As `forget` where so many bytes of whole pages, at least one, would go.
void forget_from(std::size_t least, std::span<const std::byte> bytes) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t last = (begin + bytes.size()) / page * page;
  // Private and read-only: there is nothing to lose. A refusal costs memory only.
  if (first < last && last - first >= least)
    static_cast<void>(::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED));
}

}  // namespace

void forget(std::span<const std::byte> bytes) { forget_from(0, bytes); }

void forget_tensor(std::span<const std::byte> bytes) { forget_from(kCopiedGapBytes, bytes); }

void forget_but(std::span<const std::byte> mapping, std::vector<std::span<const std::byte>> parts) {
  std::ranges::sort(parts, {}, [](const auto& part) { return part.data(); });
  const std::byte* at = mapping.data();
  for (const auto& part : parts) {
    if (at < part.data()) forget({at, part.data()});
    at = std::max(at, part.data() + part.size());
  }
  const std::byte* end = mapping.data() + mapping.size();
  if (at < end) forget({at, end});
}

void install_sigbus_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

void end_for_truncated_file(std::string_view path) {
  say("error: ");
  say(path);
  say(" was truncated or cannot be read any more while it was in use. Restore the file and "
      "start again. [TROUPE-4004]\n");
  ::_exit(kExitModelInvalid);
}

}  // namespace troupe::model
