// What the terminal can show, and writing to stdout so that a closed pipe ends the program quietly.
#pragma once
#include <string_view>

namespace troupe::services {

/// Descriptors 0 to 2 that the caller has closed are taken, so that no file of ours gets their
/// number and with it what is meant for the terminal; using them fails with EBADF as before.
/// *Threading*: call once, before anything is opened. Needs no library: `main.cpp` has it run
/// before the constructors of any.
void keep_standard_descriptors();

bool stdout_is_terminal();
bool stderr_is_terminal();
bool stdin_is_terminal();

/// Writes all of `text` to stdout at once. False when nobody reads any more or the disk is full;
/// errno tells which.
[[nodiscard]] bool write_stdout(std::string_view text);

}  // namespace troupe::services
