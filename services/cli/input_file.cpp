// Reads descriptors to their end.
#include "services/cli/input_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "model/checkpoint/files.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {
namespace {

Unexpected refused(const char* action, const std::string& name) {
  if (errno == EINTR) return unexpected(Errc::cancelled, "interrupted");
  return unexpected(model::os_error(action, name, errno));
}

bool again() { return errno == EINTR && !interrupted(); }

Expected<std::string> read_to_end(int file, const std::string& name, std::uint64_t bytes_max) {
  std::string text;
  std::string block(1 << 16, '\0');
  while (true) {
    const ::ssize_t got = ::read(file, block.data(), block.size());
    if (got < 0 && again()) continue;
    if (got < 0) return refused("read", name);
    if (got == 0) return text;
    text.append(block, 0, static_cast<std::size_t>(got));
    if (text.size() > bytes_max)
      return unexpected(Errc::invalid_argument,
                        name + " holds more than " + human_bytes(bytes_max) + ". Shorten it");
  }
}

}  // namespace

Expected<std::string> read_input(const std::filesystem::path& file, std::uint64_t bytes_max) {
  if (file == "-") return read_to_end(STDIN_FILENO, "standard input", bytes_max);
  int opened = -1;
  do {
    opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  } while (opened < 0 && again());
  if (opened < 0) return refused("open", file.string());
  auto text = read_to_end(opened, file.string(), bytes_max);
  ::close(opened);
  return text;
}

}  // namespace troupe::services
