// `troupe keys add|list`: the file of API keys that a gateway asks its clients for.
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "services/cli/command.hpp"
#include "services/gateway/api_keys.hpp"
#include "services/runtime/faults.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kLimitMax = 1'000'000;

struct Flags {
  std::string file, name, rights;
  std::optional<std::int64_t> per_minute, concurrent, priority_max;
};

/// Existing keys; none when there is no file yet.
Expected<ApiKeys> existing(const std::string& file) {
  if (!std::filesystem::exists(file)) return ApiKeys();
  return ApiKeys::load(file);
}

/// Whoever may write the file may make keys; nobody else needs to read hashes.
bool append(const std::string& file, const std::string& line) {
  const bool fresh = !std::filesystem::exists(file);
  std::ofstream out(file, std::ios::app | std::ios::binary);
  if (fresh) ::chmod(file.c_str(), S_IRUSR | S_IWUSR);
  out << line << '\n' << std::flush;
  return out.good();
}

int add(const Flags& flags) {
  ApiKey key;
  key.name = flags.name;
  if (!is_key_name(key.name))
    return report(Fault::bad_value, "NAME: \"" + flags.name.substr(0, 80) +
                                        "\" takes 1 to 64 letters, digits, \"-\", \"_\" and \".\"");
  if (!flags.rights.empty()) {
    const auto rights = parse_rights(flags.rights);
    if (!rights) return report(Fault::bad_value, "--rights: " + rights.error().detail);
    key.rights = *rights;
  }
  key.requests_per_minute_max = flags.per_minute.value_or(0);
  key.concurrent_max = flags.concurrent.value_or(0);
  if (flags.priority_max) key.priority_max = static_cast<std::int32_t>(*flags.priority_max);
  const auto keys = existing(flags.file);
  if (!keys) return report(Fault::bad_input_file, keys.error().detail);
  for (const ApiKey& one : keys->all()) {
    if (one.name == key.name)
      return report(Fault::bad_value, "NAME: " + flags.file + " has a key " + key.name +
                                          " already. Take another name, or remove its line");
  }
  const auto made = make_key(key);
  if (!made) return report(Fault::internal, made.error().detail);
  if (!append(flags.file, made->line))
    return report(Fault::output_failed, "cannot write " + flags.file);
  std::fprintf(stderr, "Added %s to %s. The key is shown this once:\n", key.name.c_str(),
               flags.file.c_str());
  return print_result(made->secret + "\n");
}

int list(const std::string& file) {
  const auto keys = ApiKeys::load(file);
  if (!keys) return report(Fault::bad_input_file, keys.error().detail);
  std::string text =
      "NAME                 RIGHTS               REQUESTS/MIN   CONCURRENT   PRIORITY-MAX\n";
  const auto limit = [](std::int64_t value) {
    return value == 0 ? std::string("-") : std::to_string(value);
  };
  for (const ApiKey& key : keys->all()) {
    std::string line = key.name + " ";
    line.resize(std::max<std::size_t>(21, line.size()), ' ');
    line += rights_text(key.rights);
    line.resize(std::max<std::size_t>(42, line.size() + 1), ' ');
    line += limit(key.requests_per_minute_max);
    line.resize(57, ' ');
    line += limit(key.concurrent_max);
    line.resize(70, ' ');
    text += line + (key.priority_max ? std::to_string(*key.priority_max) : "-") + "\n";
  }
  return print_result(text);
}

Option required(std::string name, std::string help, Assign assign) {
  Option option{std::move(name), "", std::move(help), std::move(assign)};
  option.required = true;
  return option;
}

}  // namespace

Command keys_add_command() {
  Command command;
  command.name = "keys add";
  command.summary = "Make an API key and add its hash to a file";
  command.usage = "troupe keys add FILE NAME [flags]";
  command.examples = {"troupe keys add keys.txt alice",
                      "troupe keys add keys.txt batch --requests-per-minute 60 --concurrent 4",
                      "troupe serve --set gateway.api_keys_file=keys.txt"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    options.group("Key");
    options.add(required("FILE", "A key a line; made if it is not there", text(flags->file)));
    options.add(required("NAME", "Whose it is, for logs and errors", text(flags->name)));
    options.add({"--rights", "LIST", "Of generate,tokenize,cluster [generate,tokenize]",
                 text(flags->rights)});
    options.add({"--requests-per-minute", "N", "Requests that may begin in a minute [no limit]",
                 integer(flags->per_minute, {1, kLimitMax})});
    options.add({"--concurrent", "N", "Requests that may be open at once [no limit]",
                 integer(flags->concurrent, {1, kLimitMax})});
    options.add({"--priority-max", "N", "Highest priority of its requests, from 0 [no limit]",
                 integer(flags->priority_max, {0, kLimitMax})});
    return [flags] { return add(*flags); };
  };
  return command;
}

Command keys_list_command() {
  Command command;
  command.name = "keys list";
  command.summary = "List the API keys of a file: names, rights and limits";
  command.usage = "troupe keys list FILE";
  command.examples = {"troupe keys list keys.txt"};
  command.make = [](OptionSet& options) {
    auto file = std::make_shared<std::string>();
    options.group("Input");
    options.add(required("FILE", "A key a line", text(*file)));
    return [file] { return list(*file); };
  };
  return command;
}

}  // namespace troupe::services
