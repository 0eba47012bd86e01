// What the terminal can show, and writing to stdout so that a closed pipe ends the program quietly.
#pragma once
#include <string_view>

namespace troupe::services {

bool stdout_is_terminal();
bool stderr_is_terminal();
bool stdin_is_terminal();

/// Writes all of `text` to stdout at once. False when nobody reads any more or the disk is full;
/// errno tells which.
[[nodiscard]] bool write_stdout(std::string_view text);

}  // namespace troupe::services
