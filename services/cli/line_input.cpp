// read(2) into a buffer, cut at newlines.
#include "services/cli/line_input.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "services/runtime/interrupts.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {

LineEnd LineInput::next(const std::string& prompt, std::string& line) {
  const bool prompted = stdin_is_terminal() && stdout_is_terminal();
  if (prompted && !write_stdout(prompt)) return LineEnd::end_of_input;
  while (true) {
    if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return LineEnd::line;
    }
    if (interrupted()) return LineEnd::interrupted;
    std::array<char, 4096> block;
    const ::ssize_t got = ::read(STDIN_FILENO, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got > 0) {
      buffer_.append(block.data(), static_cast<std::size_t>(got));
      continue;
    }
    line = std::move(buffer_);
    buffer_.clear();
    return line.empty() ? LineEnd::end_of_input : LineEnd::line;
  }
}

}  // namespace troupe::services
