// A result file that appears under its name only when it is complete.
#pragma once
#include <filesystem>

#include "core/expected.hpp"

namespace troupe::services {

/// Names the unfinished file PATH.part-PID and renames it in the end. Something at PATH that is no
/// regular file (a pipe, /dev/stdout) is written to directly.
class ResultFile {
 public:
  explicit ResultFile(const std::filesystem::path& path);
  ResultFile(ResultFile&& other) noexcept;
  ResultFile(const ResultFile&) = delete;
  /// Removes what was not committed.
  ~ResultFile();

  /// Where to write.
  const std::filesystem::path& written_path() const { return written_; }
  /// *Errors*: as `os_error`.
  Expected<void> commit();

 private:
  std::filesystem::path path_, written_;
  bool pending_ = false;
};

}  // namespace troupe::services
