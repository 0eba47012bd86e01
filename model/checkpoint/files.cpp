// Reads small files and words the operating system's refusals.
#include "model/checkpoint/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace troupe::model {
namespace {

Errc code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return Errc::not_found;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE: return Errc::resource_exhausted;
    default: return Errc::io;
  }
}

Expected<std::string> read_all(int file, const std::filesystem::path& path, std::size_t bytes) {
  std::string text(bytes, '\0');
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::read(file, text.data() + done, bytes - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unexpected(os_error("read", path, errno));
    if (got == 0) return unexpected(Errc::truncated, path.string() + ": shrank while it was read");
    done += static_cast<std::size_t>(got);
  }
  return text;
}

}  // namespace

Error os_error(std::string_view action, const std::filesystem::path& path, int error_number) {
  return {code_of(error_number), "cannot " + std::string(action) + " " + path.string() + ": " +
                                     std::generic_category().message(error_number)};
}

Expected<std::string> read_text_file(const std::filesystem::path& path, std::uint64_t bytes_max) {
  // O_NONBLOCK: a named pipe is refused below instead of waited for.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return unexpected(os_error("open", path, errno));
  struct stat info {};
  Expected<std::string> text = unexpected(Errc::malformed, path.string() + ": not a regular file");
  if (::fstat(file, &info) != 0) {
    text = unexpected(os_error("stat", path, errno));
  } else if (S_ISREG(info.st_mode)) {
    const auto bytes = static_cast<std::uint64_t>(info.st_size);
    if (bytes > bytes_max)
      text = unexpected(Errc::malformed, path.string() + ": " + std::to_string(bytes) +
                                             " bytes, more than the " + std::to_string(bytes_max) +
                                             " that such a file may have");
    else
      text = read_all(file, path, bytes);
  }
  ::close(file);
  return text;
}

Unexpected at(const std::filesystem::path& where, const Error& error) {
  return unexpected(error.code, where.string() + ": " + error.detail);
}

}  // namespace troupe::model
