// Terminal questions answered by isatty; unbuffered writes that survive short counts and EINTR.
#include "services/runtime/terminal.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace troupe::services {

void keep_standard_descriptors() {
  // In ascending order: open takes the lowest free number. By number, as a sanitizer's own versions
  // of the functions may not be ready yet.
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::syscall(SYS_fcntl, file, F_GETFD) >= 0) continue;
    const int way = file == STDIN_FILENO ? O_WRONLY : O_RDONLY;  // the wrong one: EBADF
    if (::syscall(SYS_openat, AT_FDCWD, "/dev/null", way) != file) return;
  }
}

bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }
bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }

bool write_stdout(std::string_view text) {
  std::fflush(stdout);
  while (!text.empty()) {
    const ::ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace troupe::services
