// Applies the four layers of settings in order and checks what has to fit together.
#include "services/runtime/config/config_load.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "kernels/registry.hpp"
#include "services/runtime/config/config_keys.hpp"

namespace troupe::services {
namespace {

/// An assignment that keeps the text for later, once it has been found to be one the key takes.
Assign keep_in(std::map<std::string, GivenText>& texts, const ConfigKey& key, std::string by) {
  return [&texts, &key, by = std::move(by)](std::string_view value) -> Expected<void> {
    ServiceConfig scratch;
    if (auto taken = key.assign(scratch, value); !taken) return taken;
    auto& [text, given_by] = texts[key.path];
    given_by = by;
    if (key.is_list && !text.empty()) {
      text += "," + std::string(value);
    } else {
      text = value;
    }
    return {};
  };
}

void apply(LoadedConfig& loaded, const std::string& path, std::string_view text,
           std::string origin) {
  const auto taken = find_config_key(path)->assign(loaded.config, text);
  TROUPE_CHECK(taken.has_value(), path);  // every text was tried before it was kept
  loaded.origins[path] = std::move(origin);
}

bool uses(Roles roles, ServiceRole role) { return (roles & only(role)) != 0; }

using Found = std::optional<ConfigProblem>;

ConfigProblem conflict(std::string text) { return {Fault::config_conflict, std::move(text)}; }

std::string count_text(const char* key, std::int64_t value) {
  return std::string(key) + " is " + std::to_string(value);
}

Found check_members(const ServiceConfig& config, Roles roles) {
  const auto routers = static_cast<std::int64_t>(config.cluster.routers.size());
  if (routers == 0) return conflict("cluster.routers is empty; name every router's control port");
  std::set<std::string> seen;
  for (const Address& router : config.cluster.routers) {
    if (router.port == 0) return conflict("cluster.routers: " + router.text() + " needs a port");
    if (!seen.insert(router.text()).second)
      return conflict("cluster.routers names " + router.text() + " twice");
  }
  if (uses(roles, ServiceRole::expert) && config.expert.rank >= config.expert.ranks)
    return conflict(count_text("expert.rank", config.expert.rank) + " and " +
                    count_text("expert.ranks", config.expert.ranks) +
                    "; ranks count from 0 to expert.ranks - 1");
  const auto past = "; it names a router there, and cluster.routers has " +
                    std::to_string(routers) + ". Add the missing ones";
  if (uses(roles, ServiceRole::router) && config.router.index >= routers)
    return conflict(count_text("router.index", config.router.index) + past);
  if (uses(roles, ServiceRole::attention) && config.router.placement == "colocated" &&
      config.attention.index >= routers)
    return conflict(count_text("attention.index", config.attention.index) +
                    " with router.placement colocated" + past);
  return std::nullopt;
}

Found check_times(const ServiceConfig& config) {
  const auto& cluster = config.cluster;
  const auto beat = std::max(cluster.beat_busy, cluster.beat_idle);
  if (2 * beat <= cluster.lost_after) return std::nullopt;
  return conflict(count_text("cluster.lost_after_ms", cluster.lost_after.count()) +
                  " and a sign of life comes every " + std::to_string(beat.count()) +
                  " ms; give it at least twice that");
}

Found check_engine(const ServiceConfig& config) {
  const auto levels = kernels::known_levels();
  const std::string& level = config.engine.level;
  if (level != "auto" && std::find(levels.begin(), levels.end(), level) == levels.end()) {
    std::string known = "auto";
    for (const auto name : levels) known += ", " + std::string(name);
    return conflict("engine.level \"" + level + "\" is none of " + known);
  }
  if (config.engine.step_rows_max < config.engine.chunk_tokens)
    return conflict(count_text("engine.step_rows_max", config.engine.step_rows_max) +
                    ", less than engine.chunk_tokens (" +
                    std::to_string(config.engine.chunk_tokens) + "); a chunk is one step's rows");
  for (const std::string& option : config.transport.ucx_options) {
    const std::size_t equals = option.find('=');
    if (equals == std::string::npos || equals == 0)
      return conflict("transport.ucx_options takes NAME=VALUE, not \"" + option + "\"");
    if (option.starts_with("UCX_"))
      return conflict("transport.ucx_options: leave the prefix UCX_ out of \"" + option + "\"");
  }
  return std::nullopt;
}

Found check_ports(const ServiceConfig& config, Roles roles) {
  std::vector<std::pair<std::string, Address>> open{{"ops.listen", config.ops.listen}};
  if (uses(roles, ServiceRole::gateway)) {
    open.emplace_back("gateway.grpc_listen", config.gateway.grpc_listen);
    open.emplace_back("admin.listen", config.admin.listen);
  }
  const bool routes = uses(roles, ServiceRole::router) || (uses(roles, ServiceRole::attention) &&
                                                           config.router.placement == "colocated");
  if (routes) open.emplace_back("control.listen", config.control.listen);
  for (std::size_t i = 0; i < open.size(); ++i)
    for (std::size_t j = i + 1; j < open.size(); ++j)
      if (open[i].second == open[j].second && open[i].second.port != 0)
        return conflict(open[i].first + " and " + open[j].first + " are both " +
                        open[i].second.text() + "; every port needs its own");
  return std::nullopt;
}

}  // namespace

void ConfigFlags::declare(OptionSet& options, Roles roles) {
  options.group("Configuration");
  options.add({"--config", "FILE", "YAML file with any of these settings [none]", text(file)});
  // With the keys of all roles at once, the first screen would be no overview.
  const auto part_of = [&](const ConfigKey& key) {
    if ((key.roles & roles) == 0) return 2;
    return roles == kAllRoles || key.shown == Shown::help_all ? 1 : 0;
  };
  constexpr std::array<const char*, 3> kParts{"Settings", "More settings",
                                              "Settings of other services, not used here"};
  for (int part = 0; part < 3; ++part) {
    options.group(kParts[static_cast<std::size_t>(part)],
                  part == 0 ? Shown::first_screen : Shown::help_all);
    for (const ConfigKey& key : config_keys())
      if (part_of(key) == part) add_options(options, key);
  }
}

void ConfigFlags::add_options(OptionSet& options, const ConfigKey& key) {
  std::string standard = key.show({});
  if (key.is_list) standard = standard.substr(1, standard.size() - 2);
  std::erase(standard, '"');
  const bool nothing = standard.empty();
  Option option{key.flag(), key.value, key.help + (nothing ? "" : " [" + standard + "]"), {}};
  option.repeats = key.is_list;
  const auto add = [&](Option named) {
    named.assign = keep_in(flags, key, "flag " + named.name);
    named.assign_variable = keep_in(variables, key, "variable " + named.environment());
    options.add(std::move(named));
  };
  add(option);
  if (key.short_flag.empty()) return;
  option.help = "As " + std::exchange(option.name, key.short_flag) + ", and wins over it";
  add(std::move(option));
}

Found check_config(const ServiceConfig& config, Roles roles) {
  if (auto found = check_members(config, roles)) return found;
  if (auto found = check_times(config)) return found;
  if (auto found = check_engine(config)) return found;
  return check_ports(config, roles);
}

Found load_config(const ConfigFlags& flags, Roles roles, LoadedConfig& loaded) {
  FileValues values;
  if (!flags.file.empty()) {
    if (auto failed = read_config_file(flags.file, values)) return failed;
  }
  for (const ConfigKey& key : config_keys()) loaded.origins[key.path] = "default";
  for (const auto& [path, value] : values)
    apply(loaded, path, value.text, "file " + flags.file + ":" + std::to_string(value.line));
  for (const auto* layer : {&flags.variables, &flags.flags})
    for (const auto& [path, given] : *layer) apply(loaded, path, given.text, given.by);
  return check_config(loaded.config, roles);
}

}  // namespace troupe::services
