// Lays out the table of keys as YAML and as Markdown.
#include "services/runtime/config/config_print.hpp"

#include "services/runtime/config/config_keys.hpp"

namespace troupe::services {
namespace {

constexpr std::size_t kCommentColumn = 44;

std::string section_of(const ConfigKey& key) { return key.path.substr(0, key.path.find('.')); }
std::string name_of(const ConfigKey& key) { return key.path.substr(key.path.find('.') + 1); }

/// Calls `print(key)` for each, after a line for each new section.
template <class Print>
std::string by_section(std::string_view between, Print print) {
  std::string out;
  std::string section;
  for (const ConfigKey& key : config_keys()) {
    if (section_of(key) != section) {
      out += section.empty() ? "" : std::string(between);
      section = section_of(key);
      out += section + ":\n";
    }
    out += print(key);
  }
  return out;
}

/// What has no key.
constexpr const char* kFixed = R"(
## Fixed

These have no key:

* *Ports of data links over TCP*: any free one. A range:
  `transport.ucx_options: ["TCP_PORT_RANGE=20000-20999"]`.
* *Replies a router waits for at once* (the design's `router.inflight_bytes_max`): 512 MiB, one work
  item at least. What reaches a shard is bounded by `transport.credit_*`.
* *A request over gRPC*: 64 MiB; beyond, `REQUEST_TOO_LARGE`. 1,048,576 values (fields, and numbers
  of lists). Over HTTP: `gateway.http_body_mib`.
* *gRPC streams on a connection*: 1024; the client holds back more. All: `gateway.requests_max`.
* *Age of a gRPC connection*: 5 min, then clients connect again, elsewhere behind a balancer. Calls
  on the old one go on for as long as they take.
* *Keepalive pings of gRPC clients*: every 10 s at most, also without calls; a client that sends
  more is disconnected. The gateway's own: gRPC's default, two hours.
)";

std::string in_cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2)
    text.insert(at, 1, '\\');
  return text;
}

}  // namespace

std::string print_defaults() {
  const ServiceConfig defaults;
  return "# Every setting of Troupe's services with its default.\n"
         "# A flag wins over a variable, a variable over this file.\n\n" +
         by_section("\n", [&](const ConfigKey& key) {
           return "  # " + key.help + " (" + roles_text(key.roles) + ")\n  " + name_of(key) + ": " +
                  key.show(defaults) + "\n";
         });
}

std::string print_config(const LoadedConfig& loaded) {
  return by_section("", [&](const ConfigKey& key) {
    std::string line = "  " + name_of(key) + ": " + key.show(loaded.config);
    if (line.size() < kCommentColumn) line.resize(kCommentColumn, ' ');
    return line + "  # " + loaded.origins.at(key.path) + "\n";
  });
}

std::string config_page() {
  std::string out =
      "# Configuration\n\n"
      "Generated from the table in `services/runtime/config/config_keys.cpp`; a test compares "
      "them.\n\n"
      "One YAML file can serve all services of a cluster: each takes what it uses. Every key is "
      "also a\nflag (`expert.rank`: `--expert-rank`) and a variable (`TROUPE_EXPERT_RANK`). A flag "
      "wins over a\nvariable, a variable over the file, the file over the default. A key that does "
      "not exist is an error\nthat names the file, the line and the nearest key. Lists are YAML "
      "lists, or one text with commas.\n\n"
      "| Command | Does |\n|---|---|\n"
      "| `troupe config check FILE` | reads and checks a file; exit code 3 when it is not valid "
      "|\n"
      "| `troupe config print-defaults` | all keys with their defaults, as a file to start from "
      "|\n"
      "| `troupe config print --config FILE` | every value in force and where it comes from |\n\n"
      "| Key | Takes | Default | Used by | Meaning |\n|---|---|---|---|---|\n";
  const ServiceConfig defaults;
  for (const ConfigKey& key : config_keys())
    out += "| `" + key.path + "` | " + in_cell(key.value) + " | `" + key.show(defaults) + "` | " +
           roles_text(key.roles) + " | " + key.help + " |\n";
  return out + kFixed;
}

}  // namespace troupe::services
