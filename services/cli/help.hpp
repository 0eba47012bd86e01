// Help screens: the commands, a command's first screen, all of its flags, and a search.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "services/cli/command.hpp"

namespace troupe::services {

/// The screen of `troupe --help`.
std::string general_help();

enum class HelpDetail { first_screen, everything };
std::string command_help(const Command& command, HelpDetail detail);

/// Every flag and command with `word` in its name, variable or description.
std::string help_search(std::span<const Command> among, std::string_view word);

}  // namespace troupe::services
