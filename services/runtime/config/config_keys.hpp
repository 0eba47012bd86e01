// The one table of configuration keys: what the file, flags, variables, help and docs read from.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "services/runtime/config/service_config.hpp"
#include "services/runtime/option_set.hpp"

namespace troupe::services {

struct ConfigKey {
  std::string path;   // "expert.rank"; a unit comes last: "cluster.lost_after_ms"
  std::string value;  // what help calls the value: "N"
  std::string help;   // one sentence without a full stop
  Roles roles = kAllRoles;
  Shown shown = Shown::help_all;
  bool is_list = false;    // given again, or with commas: more elements
  std::string short_flag;  // "--level", as commands with one engine have it; TROUPE_LEVEL likewise
  /// *Errors*: `invalid_argument` that says what is taken, as those of an Option.
  std::function<Expected<void>(ServiceConfig&, std::string_view)> assign;
  /// As YAML spells it: `3000`, `"127.0.0.1:7400"`, `["a:1", "b:2"]`.
  std::function<std::string(const ServiceConfig&)> show;

  std::string flag() const;         // --expert-rank
  std::string environment() const;  // TROUPE_EXPERT_RANK
};

/// All keys, those of one section beside each other.
std::span<const ConfigKey> config_keys();
const ConfigKey* find_config_key(std::string_view path);
/// Their paths, for "did you mean".
std::vector<std::string> config_paths();

/// "expert", "attention, router", "all".
std::string roles_text(Roles roles);

/// `text` as a YAML scalar in double quotes.
std::string quoted_yaml(std::string_view text);

}  // namespace troupe::services
