// `troupe status`: the services of a running cluster and what they are up to.
#include <chrono>
#include <memory>

#include "services/cli/cluster_text.hpp"
#include "services/cli/command.hpp"
#include "services/client/inference_client.hpp"
#include "services/runtime/faults.hpp"

namespace troupe::services {
namespace {

struct Flags {
  std::string url = "127.0.0.1:50052";
  std::string output = "table";
  std::optional<std::int64_t> timeout_s;
};

int status(const Flags& flags) {
  const std::chrono::seconds bound(flags.timeout_s.value_or(10));
  const auto answered = fetch_cluster_report(flags.url, bound);
  if (const auto* failure = std::get_if<ClientFailure>(&answered)) {
    // No cluster answered, whatever kept it from doing so.
    return report(Fault::cannot_connect, "no status of a cluster from " + flags.url + ": " +
                                             failure->message +
                                             ". Name the admin port of a gateway with --url");
  }
  const auto& cluster = std::get<actors::ClusterReport>(answered);
  const int printed =
      print_result(flags.output == "json" ? cluster_json(cluster) : cluster_table(cluster));
  if (printed != 0) return printed;
  return static_cast<int>(healthy(cluster) ? ExitCode::ok : ExitCode::failure);
}

}  // namespace

Command status_command() {
  Command command;
  command.name = "status";
  command.summary = "Show the services of a running cluster; 0: healthy, 1: degraded, 5: no answer";
  command.usage = "troupe status [--url HOST:PORT] [-o table|json]";
  command.examples = {"troupe status", "troupe status --url 10.0.0.1:50052 -o json"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    options.group("Cluster");
    options.add(
        {"--url", "HOST:PORT", "Admin port of a gateway [127.0.0.1:50052]", text(flags->url)});
    options.add({"--timeout", "S", "Seconds to wait for an answer [10]",
                 integer(flags->timeout_s, {1, 3600})});
    options.group("Output");
    Option output{"--output", "FORM", "table or json [table]",
                  choice(flags->output, {"table", "json"})};
    output.letter = "-o";
    options.add(std::move(output));
    return [flags] { return status(*flags); };
  };
  return command;
}

}  // namespace troupe::services
