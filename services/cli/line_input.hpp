// Lines from standard input that Ctrl-C can interrupt.
#pragma once
#include <string>

namespace troupe::services {

enum class LineEnd { line, end_of_input, interrupted };

/// Reads standard input line by line. On a terminal the kernel's own line editing is used.
/// *Threading*: main thread; blocks.
class LineInput {
 public:
  /// Shows `prompt` on stdout if both ends are terminals. `line` has no newline.
  LineEnd next(const std::string& prompt, std::string& line);

 private:
  std::string buffer_;
};

}  // namespace troupe::services
