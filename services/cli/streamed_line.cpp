// A write, and what its failure means.
#include "services/cli/streamed_line.hpp"

#include <cerrno>
#include <cstring>
#include <string>

#include "services/runtime/faults.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {

std::optional<int> stream_line(std::string_view text) {
  if (write_stdout(text)) return std::nullopt;
  if (errno == EPIPE) return static_cast<int>(ExitCode::ok);
  return report(Fault::output_failed,
                std::string("cannot write to standard output: ") + std::strerror(errno));
}

}  // namespace troupe::services
