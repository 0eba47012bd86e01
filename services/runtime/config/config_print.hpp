// A configuration as YAML that can be read back, and the page docs/config.md.
#pragma once
#include <string>

#include "services/runtime/config/config_load.hpp"

namespace troupe::services {

/// Every key with its default and, as comments, what it is for and who uses it.
std::string print_defaults();

/// Every key with its value and, as a comment, where it came from.
std::string print_config(const LoadedConfig& loaded);

/// The text of docs/config.md.
std::string config_page();

}  // namespace troupe::services
