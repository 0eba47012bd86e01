// Temporary name, rename, removal.
#include "services/cli/result_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "model/checkpoint/files.hpp"

namespace troupe::services {
namespace fs = std::filesystem;

ResultFile::ResultFile(const fs::path& path) : path_(path), written_(path) {
  std::error_code ignored;
  pending_ = !fs::exists(path, ignored) || fs::is_regular_file(path, ignored);
  if (pending_) written_ += ".part-" + std::to_string(::getpid());
}

ResultFile::ResultFile(ResultFile&& other) noexcept
    : path_(std::move(other.path_)),
      written_(std::move(other.written_)),
      pending_(std::exchange(other.pending_, false)) {}

ResultFile::~ResultFile() {
  if (pending_) ::unlink(written_.c_str());
}

Expected<void> ResultFile::commit() {
  if (!pending_) return {};
  if (::rename(written_.c_str(), path_.c_str()) != 0) {
    return unexpected(model::os_error("rename to", path_, errno));
  }
  pending_ = false;
  return {};
}

}  // namespace troupe::services
