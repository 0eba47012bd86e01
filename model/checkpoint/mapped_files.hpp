// Read-only file mappings, and what happens when a mapped file is cut short under them.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"

namespace troupe::model {

/// A whole file mapped read-only. While it lives, it is listed in a table that the handler of
/// `install_sigbus_handler` reads. It keeps a file descriptor, from which it knows when the file is
/// cut inside its last remaining page, where reads give zeros and no signal.
/// *Threading*: opening and closing take a lock; the bytes may be read from any thread.
class MappedFile {
 public:
  /// *Errors*: as `os_error`; `truncated` for an empty file, `malformed` for something that is not
  /// a regular file, `resource_exhausted` when `kMappedFilesMax` are open.
  static Expected<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  /// Whether the file has the size it was mapped with. One fstat.
  bool has_its_size() const;
  /// Lets the kernel take the pages back; reading them again reads the file.
  void forget_pages() const;
  /// Reads bytes [offset, offset + to.size()) of the file into memory. *Errors*: as `os_error`;
  /// `truncated` where it ends before.
  Expected<void> read(std::size_t offset, std::span<std::byte> to) const;

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes, int file, std::size_t slot)
      : path_(std::move(path)), bytes_(bytes), file_(file), slot_(slot) {}
  void close();

  std::string path_;
  std::span<const std::byte> bytes_;
  int file_ = -1;
  std::size_t slot_ = 0;
};

/// Mappings of one process; V3 has 163 files, and every role of an all-in-one process may map them.
inline constexpr std::size_t kMappedFilesMax = 4096;

/// Brings mapped bytes into memory and into this process' page table, which one call does faster
/// than a fault per page. Where the kernel cannot (before Linux 5.14) or the file is cut short,
/// nothing happens: whoever reads the bytes finds out.
void populate(std::span<const std::byte> bytes);

/// What is asked of the system for weights beyond reading them.
struct PageUse {
  bool huge = true;     // large pages for whole files, where the file system has them: asked for
                        // tensor by tensor a mapping falls into pieces, whose ends have none
  bool locked = false;  // never written out or dropped while the process lives
  bool copied = false;  // in memory of the process (WeightCopies) instead of the page cache's
  /// Large pages only of files of which most is read, as `fit_huge_pages` says of what
  /// `Checkpoint::will_read` is told, and of other files nothing else stays mapped: the system maps
  /// all that it holds in one piece, up to 2 MiB, and counts it as resident. For processes that
  /// read a part of a model.
  bool sparing = false;
};

/// Whether the large pages in which these parts of a mapping lie hold at most a tenth more.
bool fit_huge_pages(std::vector<std::span<const std::byte>> parts);

/// As `populate`, locked where `use` says so. *Errors*: `resource_exhausted` where they cannot be
/// locked, with the limit.
Expected<void> bring_in(std::span<const std::byte> bytes, PageUse use);

/// Lets the kernel take back the pages that hold nothing but these mapped bytes; reading them again
/// reads the file.
void forget(std::span<const std::byte> bytes);
/// The same for a tensor that others of this process may still read. Less than kCopiedGapBytes of
/// whole pages stay, for they may lie in a copy (WeightCopies) and would be zeros to them.
void forget_tensor(std::span<const std::byte> bytes);
inline constexpr std::size_t kCopiedGapBytes = std::size_t{64} << 10;
/// As `forget` for all of a mapping but these parts of it.
void forget_but(std::span<const std::byte> mapping, std::vector<std::span<const std::byte>> parts);

/// From now on a read past the end of a file that was truncated while mapped ends the process with
/// exit code 4 and a line on stderr that names the file, so that it never becomes a wrong token
/// (design 6). A SIGBUS elsewhere ends the process as it would without the handler. Call it once,
/// after libraries that install handlers of their own.
void install_sigbus_handler();

/// Ends the process as the handler does, for a file that was found without its size.
[[noreturn]] void end_for_truncated_file(std::string_view path);

}  // namespace troupe::model
