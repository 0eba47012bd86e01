// A file that appears under its name only once it is complete and on the disk.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/expected.hpp"

namespace troupe::model {

/// Collects bytes in "`path`.partial"; `finish` makes them durable and renames. Without `finish`
/// the partial file is removed.
class OutputFile {
 public:
  /// Replaces a partial file that an earlier process left. *Errors*: as `os_error`.
  static Expected<OutputFile> create(const std::filesystem::path& path);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  /// Appends. *Errors*: `resource_exhausted` when the disk is full, `io`.
  Expected<void> write(std::span<const std::byte> bytes);
  /// Puts `bytes` at `offset` of the file; `write` goes on where it was. *Errors*: as `write`.
  Expected<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  Expected<void> finish();

 private:
  OutputFile(std::filesystem::path path, int file) : path_(std::move(path)), file_(file) {}
  std::filesystem::path partial() const { return path_.string() + ".partial"; }

  std::filesystem::path path_;
  int file_ = -1;
  std::uint64_t appended_ = 0;
};

/// `text` as the whole content of `path`, with the same guarantee.
Expected<void> write_file(const std::filesystem::path& path, std::string_view text);

/// A copy of `from`'s bytes, with the same guarantee.
Expected<void> copy_file_durably(const std::filesystem::path& from,
                                 const std::filesystem::path& to);

}  // namespace troupe::model
