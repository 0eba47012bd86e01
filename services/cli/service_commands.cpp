// `troupe gateway|attention|router|expert`: one service of a cluster, in the foreground.
#include <memory>

#include "services/cli/command.hpp"
#include "services/gateway/gateway_front.hpp"
#include "services/process/run_service.hpp"

namespace troupe::services {
namespace {

struct Flags {
  ConfigFlags config;
  bool exit_with_parent = false;
};

int start(const Flags& flags, ServiceRole role) {
  LoadedConfig loaded;
  if (const auto problem = load_config(flags.config, only(role), loaded))
    return report(problem->fault, problem->text);
  const auto parts = role == ServiceRole::gateway ? gateway_parts() : ServiceParts{};
  return run_service({role, loaded.config, flags.exit_with_parent, parts});
}

Command service_command(ServiceRole role, std::string summary, std::string example) {
  Command command;
  command.name = std::string(to_string(role));
  command.summary = std::move(summary);
  command.usage = "troupe " + command.name + " [--config FILE] [flags]";
  command.examples = {"troupe " + command.name + " --config troupe.yaml",
                      "troupe " + command.name + " " + std::move(example)};
  command.make = [role](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    flags->config.declare(options, only(role));
    options.group("Process", Shown::help_all);
    options.add({"--exit-with-parent", "", "Drain and end when the process that started it ends",
                 yes_no(flags->exit_with_parent)});
    return [flags, role] { return start(*flags, role); };
  };
  return command;
}

}  // namespace

Command gateway_command() {
  return service_command(ServiceRole::gateway, "Run a gateway: the gRPC services of a cluster",
                         "--cluster-routers 10.0.0.1:7400 --gateway-grpc-listen 0.0.0.0:50051");
}

Command attention_command() {
  return service_command(ServiceRole::attention,
                         "Run an attention shard: sequences and their KV cache",
                         "--cluster-routers 10.0.0.1:7400 --attention-index 1");
}

Command router_command() {
  return service_command(ServiceRole::router,
                         "Run a router: gates rows, sends them to experts, combines the replies",
                         "--control-listen 0.0.0.0:7400");
}

Command expert_command() {
  return service_command(ServiceRole::expert, "Run an expert shard: the weights of some experts",
                         "--cluster-routers 10.0.0.1:7400 --expert-rank 2 --expert-ranks 8");
}

}  // namespace troupe::services
