// From defaults, file, variables and flags to one validated configuration.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "services/runtime/config/config_file.hpp"
#include "services/runtime/config/config_keys.hpp"
#include "services/runtime/config/service_config.hpp"
#include "services/runtime/option_set.hpp"

namespace troupe::services {

/// The text of a setting, and what gave it: "flag --expert-rank", "variable TROUPE_EXPERT_RANK".
struct GivenText {
  std::string text;
  std::string by;
};

/// What the command line and the environment say. Its options write here: it must outlive them.
class ConfigFlags {
 public:
  /// Adds --config and a flag for every key. Those that none of `roles` uses are taken like keys
  /// of the file, so that all services can be started alike, and shown last.
  void declare(OptionSet& options, Roles roles);

  std::string file;                            // empty: none
  std::map<std::string, GivenText> variables;  // by the key's path
  std::map<std::string, GivenText> flags;

 private:
  void add_options(OptionSet& options, const ConfigKey& key);
};

/// "default", "file x.yaml:12", "variable TROUPE_EXPERT_RANK", "flag --expert-rank".
using ConfigOrigins = std::map<std::string, std::string>;

struct LoadedConfig {
  ServiceConfig config;
  ConfigOrigins origins;  // of every key
};

/// A flag wins over a variable, a variable over the file, the file over the default. Fills `loaded`
/// or says what is wrong; what the roles in `roles` do not use is not checked against each other.
std::optional<ConfigProblem> load_config(const ConfigFlags& flags, Roles roles,
                                         LoadedConfig& loaded);

/// Settings that do not fit together, each named with its key.
std::optional<ConfigProblem> check_config(const ServiceConfig& config, Roles roles);

}  // namespace troupe::services
