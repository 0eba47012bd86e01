// Writes, syncs and renames files.
#include "model/checkpoint/output_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "model/checkpoint/files.hpp"

namespace troupe::model {
namespace {

/// Makes a rename in `dir` durable.
Expected<void> sync_directory(const std::filesystem::path& dir) {
  const int file = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return unexpected(os_error("open", dir, errno));
  const int failed = ::fsync(file);
  const int number = errno;
  ::close(file);
  // Some network file systems cannot sync directories and say EINVAL: nothing more can be done.
  if (failed != 0 && number != EINVAL) return unexpected(os_error("sync", dir, number));
  return {};
}

}  // namespace

Expected<OutputFile> OutputFile::create(const std::filesystem::path& path) {
  OutputFile output(path, -1);
  const std::filesystem::path partial = output.partial();
  output.file_ = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (output.file_ < 0) return unexpected(os_error("create", partial, errno));
  return output;
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, -1)),
      appended_(other.appended_) {}

OutputFile::~OutputFile() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(partial().c_str());
}

Expected<void> OutputFile::write(std::span<const std::byte> bytes) {
  const Expected<void> written = write_at(appended_, bytes);
  if (written) appended_ += bytes.size();
  return written;
}

Expected<void> OutputFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<::off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return unexpected(os_error("write", partial(), errno));
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return {};
}

Expected<void> OutputFile::finish() {
  if (::fsync(file_) != 0) return unexpected(os_error("sync", partial(), errno));
  const int closed = ::close(std::exchange(file_, -1));
  if (closed != 0) return unexpected(os_error("close", partial(), errno));
  if (::rename(partial().c_str(), path_.c_str()) != 0)
    return unexpected(os_error("rename to", path_, errno));
  return sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
}

Expected<void> write_file(const std::filesystem::path& path, std::string_view text) {
  Expected<OutputFile> file = OutputFile::create(path);
  if (!file) return unexpected(file.error());
  if (const auto written = file->write(std::as_bytes(std::span(text))); !written) return written;
  return file->finish();
}

Expected<void> copy_file_durably(const std::filesystem::path& from,
                                 const std::filesystem::path& to) {
  const int source = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  if (source < 0) return unexpected(os_error("open", from, errno));
  Expected<OutputFile> file = OutputFile::create(to);
  Expected<void> result = file ? Expected<void>() : unexpected(file.error());
  std::vector<std::byte> buffer(1 << 20);
  while (result) {
    const ssize_t got = ::read(source, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) result = unexpected(os_error("read", from, errno));
    if (got <= 0) break;
    result = file->write(std::span(buffer).first(static_cast<std::size_t>(got)));
  }
  ::close(source);
  return result ? file->finish() : result;
}

}  // namespace troupe::model
