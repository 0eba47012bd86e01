// `troupe config check|print-defaults|print`: settings without a service.
#include <memory>

#include "services/cli/command.hpp"
#include "services/runtime/config/config_load.hpp"
#include "services/runtime/config/config_print.hpp"
#include "services/runtime/faults.hpp"

namespace troupe::services {
namespace {

int check(const std::string& file) {
  ConfigFlags flags;
  flags.file = file;
  LoadedConfig loaded;
  if (const auto problem = load_config(flags, kAllRoles, loaded))
    return report(problem->fault, problem->text);
  return print_result(file + ": ok\n");
}

int print(const ConfigFlags& flags) {
  LoadedConfig loaded;
  if (const auto problem = load_config(flags, kAllRoles, loaded))
    return report(problem->fault, problem->text);
  return print_result(print_config(loaded));
}

}  // namespace

Command config_check_command() {
  Command command;
  command.name = "config check";
  command.summary = "Check a configuration file of the services";
  command.usage = "troupe config check FILE";
  command.examples = {"troupe config check troupe.yaml"};
  command.make = [](OptionSet& options) {
    auto file = std::make_shared<std::string>();
    options.group("Input");
    Option name{"FILE", "", "YAML file", text(*file)};
    name.required = true;
    options.add(std::move(name));
    return [file] { return check(*file); };
  };
  return command;
}

Command config_defaults_command() {
  Command command;
  command.name = "config print-defaults";
  command.summary = "Print every setting of the services with its default, as YAML";
  command.usage = "troupe config print-defaults";
  command.examples = {"troupe config print-defaults > troupe.yaml"};
  command.make = [](OptionSet&) { return [] { return print_result(print_defaults()); }; };
  return command;
}

Command config_print_command() {
  Command command;
  command.name = "config print";
  command.summary = "Print the settings in force and where each comes from";
  command.usage = "troupe config print [--config FILE] [flags]";
  command.examples = {"troupe config print --config troupe.yaml",
                      "TROUPE_EXPERT_RANK=3 troupe config print"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<ConfigFlags>();
    flags->declare(options, kAllRoles);
    return [flags] { return print(*flags); };
  };
  return command;
}

}  // namespace troupe::services
