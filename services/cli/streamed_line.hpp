// Lines of a long command's output, written as they are known.
#pragma once
#include <optional>
#include <string_view>

namespace troupe::services {

/// Writes `text` to stdout. Nothing: go on. Else the exit code to end with: 0 when the reader has
/// gone and has seen enough, or that of the reported error.
std::optional<int> stream_line(std::string_view text);

}  // namespace troupe::services
