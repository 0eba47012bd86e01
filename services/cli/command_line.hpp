// Reads flags, arguments and environment variables into a command's options.
#pragma once
#include <optional>
#include <span>
#include <string>

#include "services/cli/command.hpp"

namespace troupe::services {

/// Assigns environment variables first, then what `words` (after the command's name) say, so that
/// a flag wins. Returns nothing, or the exit code of an error that was reported.
/// *Threading*: main thread, before others start (reads the environment).
std::optional<int> parse_command_line(const Command& command, OptionSet& options,
                                      std::span<const std::string> words);

}  // namespace troupe::services
