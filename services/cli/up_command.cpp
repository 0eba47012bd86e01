// `troupe up`: a cluster of processes on this machine, supervised.
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>

#include "kernels/registry.hpp"
#include "model/config/model_config.hpp"
#include "services/cli/activations.hpp"
#include "services/cli/command.hpp"
#include "services/client/inference_client.hpp"
#include "services/local/local_services.hpp"
#include "services/local/ready_probe.hpp"
#include "services/local/supervisor.hpp"
#include "services/runtime/config/config_keys.hpp"
#include "services/runtime/config/config_load.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/model_lookup.hpp"
#include "services/runtime/suggest.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kProcessesMax = 64;  // of each role; more on one machine is a mistake
constexpr std::int64_t kDrainMax = 86'400;
constexpr std::chrono::seconds kReportBound{2};  // nothing is supervised meanwhile

struct Flags {
  std::string model;
  std::optional<std::int64_t> experts, attention, routers, drain_s;
  std::string placement = "separate", grpc = "127.0.0.1:50051", admin = "127.0.0.1:50052",
              http = "127.0.0.1:8080", ops = "127.0.0.1:9090", transport = "auto",
              log_level = "warning";
  std::string mode, level;  // none: what variables or a file say
  std::vector<std::string> settings;
};

void say(const std::string& line) { std::fprintf(stderr, "troupe up: %s\n", line.c_str()); }

/// Keys of which each service needs a value of its own, and the flag that sets the gateway's.
constexpr std::pair<std::string_view, const char*> kOwnKeys[] = {
    {"gateway.http_listen", "--http-listen"},
    {"gateway.grpc_listen", "--grpc-listen"},
    {"admin.listen", "--admin-listen"},
    {"ops.listen", "--ops-listen"}};

/// "KEY=VALUE" -> the pair. Returns the exit code of a reported error.
std::optional<int> read_settings(const Flags& flags, LocalPlan& plan) {
  for (const auto& setting : flags.settings) {
    const auto equals = setting.find('=');
    const auto key = setting.substr(0, equals);
    const ConfigKey* known = find_config_key(key);
    if (equals == std::string::npos || known == nullptr) {
      const auto nearest = equals == std::string::npos ? "" : did_you_mean(key, config_paths());
      return report(Fault::bad_value, "--set " + setting +
                                          ": takes KEY=VALUE with a key of `troupe config "
                                          "print-defaults`" +
                                          nearest);
    }
    for (const auto& [own, flag] : kOwnKeys)
      if (key == own)
        return report(Fault::bad_value,
                      "--set " + setting + ": is the gateway's alone. Use " + flag);
    ServiceConfig scratch;
    if (const auto taken = known->assign(scratch, setting.substr(equals + 1)); !taken)
      return report(Fault::bad_value, "--set " + setting + ": " + taken.error().detail);
    plan.settings.emplace_back(key, setting.substr(equals + 1));
  }
  return std::nullopt;
}

Expected<LocalPlan> make_plan(const Flags& flags) {
  LocalPlan plan;
  plan.model = flags.model;
  plan.experts = static_cast<int>(flags.experts.value_or(2));
  plan.attention = static_cast<int>(flags.attention.value_or(1));
  plan.routers = static_cast<int>(flags.routers.value_or(1));
  plan.colocated = flags.placement == "colocated";
  plan.settings = {{"transport.lanes", flags.transport},
                   {"log.level", flags.log_level},
                   {"drain.timeout_s", std::to_string(flags.drain_s.value_or(30))}};
  plan.gateway = {{"gateway.http_listen", flags.http},
                  {"gateway.grpc_listen", flags.grpc},
                  {"admin.listen", flags.admin},
                  {"ops.listen", flags.ops}};
  if (!flags.mode.empty()) plan.settings.emplace_back("engine.mode", flags.mode);
  if (!flags.level.empty()) plan.settings.emplace_back("engine.level", flags.level);
  return with_identity(std::move(plan));
}

/// What the services will read of model and mode: the plan's flags, variables, TROUPE_CONFIG's
/// file. What is wrong with any of it they tell themselves.
ServiceConfig config_of_services(const LocalPlan& plan) {
  ConfigFlags given;
  OptionSet options;
  given.declare(options, kAllRoles);
  for (const char* flag : {"--config", "--model-path", "--engine-mode"}) {
    const Option* option = options.find(flag);
    const char* value = std::getenv(option->environment().c_str());
    if (value == nullptr || *value == '\0') continue;
    (void)(option->assign_variable ? option->assign_variable : option->assign)(value);
  }
  if (!plan.model.empty()) given.flags["model.path"].text = plan.model;
  for (const auto& [key, value] : plan.settings)
    if (key == "model.path" || key == "engine.mode")
      (void)options.find(find_config_key(key)->flag())->assign(value);
  LoadedConfig loaded;
  (void)load_config(given, kAllRoles, loaded);
  return loaded.config;
}

/// The model's number of experts is looked up here: the services would each refuse in turn.
std::optional<int> check_experts(const LocalPlan& plan, const model::ModelConfig& config) {
  if (plan.experts <= config.routed_experts) return std::nullopt;
  return report(Fault::impossible_layout, "--experts asks for " + std::to_string(plan.experts) +
                                              " expert services, and the model has " +
                                              std::to_string(config.routed_experts) +
                                              " experts. Ask for that many at most");
}

/// Mode `auto` is decided once, and every service told the same.
void settle_mode(const std::string& asked, const model::Quantisation& weights, LocalPlan& plan) {
  say(activations_line(asked, weights));
  if (asked != "auto") return;
  const auto mode = model::default_activation_mode(weights.format);
  plan.settings.emplace_back("engine.mode", std::string(to_string(mode)));
}

/// What the model itself asks of the plan. One that is named but not there is told once; what else
/// is wrong with a model is left to the services, which say what.
std::optional<int> fit_to_model(LocalPlan& plan) {
  const ServiceConfig services = config_of_services(plan);
  const auto directory = find_model(services.model.path);
  if (!directory && !plan.model.empty())
    return report(model_fault(directory.error().code), directory.error().detail);
  if (!directory) return std::nullopt;
  const auto config = model::load_config(*directory, {.q_proj = true});
  if (!config) return std::nullopt;
  if (const auto failed = check_experts(plan, *config)) return failed;
  settle_mode(services.engine.mode, config->quantisation, plan);
  return std::nullopt;
}

/// A level that this machine lacks is told once: the services would each refuse in turn.
std::optional<int> check_level(const std::string& level) {
  if (level.empty()) return std::nullopt;
  const auto table = kernels::select_level(level);
  if (table) return std::nullopt;
  return report(Fault::level_not_available, table.error().detail);
}

/// One line for each member: where its probes and metrics are.
void list_ops_ports(const std::string& admin) {
  const auto answered = fetch_cluster_report(admin, kReportBound);
  if (const auto* failure = std::get_if<ClientFailure>(&answered))
    return say("ops ports of the services: none known yet (" + failure->message +
               "); `troupe status --url " + admin + "` lists them");
  for (const auto& member : std::get<actors::ClusterReport>(answered).members)
    say("ops   " + actors::name_of(member.entry.peer) + "  http://" + member.ops_address +
        "/metrics");
}

void describe(const Flags& flags, const LocalPlan& plan) {
  say("ready: " + std::to_string(plan.experts) + " expert, " + std::to_string(plan.attention) +
      " attention and " + std::to_string(plan.routers) +
      (plan.colocated ? " colocated router" : " router") + " services behind one gateway");
  say("HTTP  http://" + flags.http + "/v1   try: curl http://" + flags.http + "/v1/models");
  say("gRPC  " + flags.grpc + "   try: troupe run --url " + flags.grpc + " \"In the beginning\"");
  say("admin " + flags.admin + "   try: troupe status --url " + flags.admin);
  list_ops_ports(flags.admin);
}

int blocked_signals() {
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGINT);
  sigaddset(&stops, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &stops, nullptr);
  return ::signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
}

/// Before anything is started: somebody else's gateway would answer for ours. From then on they are
/// kept for the gateway: services that take any free port must not get one of them.
std::optional<int> hold_ports(const Flags& flags, LocalPlan& plan) {
  const std::pair<const char*, const std::string*> listening[] = {{"--http-listen", &flags.http},
                                                                  {"--grpc-listen", &flags.grpc},
                                                                  {"--admin-listen", &flags.admin},
                                                                  {"--ops-listen", &flags.ops}};
  for (const auto& [flag, text] : listening) {
    const auto address = parse_address(*text);
    if (!address)
      return report(Fault::bad_value, std::string(flag) + ": " + address.error().detail);
    auto held = hold_for_listener(*address);
    if (!held) return report(Fault::cannot_bind, std::string(flag) + ": " + held.error().detail);
    std::move(held->begin(), held->end(), std::back_inserter(plan.held_ports));
  }
  return std::nullopt;
}

int up(const Flags& flags) {
  const auto ops = parse_address(flags.ops);
  if (!ops || ops->port == 0)
    return report(Fault::bad_value,
                  "--ops-listen needs HOST:PORT with a port of its own: `up` "
                  "asks there whether the cluster is ready");
  if (const auto failed = check_level(flags.level)) return *failed;
  auto plan = make_plan(flags);
  if (!plan) return report(Fault::memory_not_available, plan.error().detail);
  if (const auto failed = read_settings(flags, *plan)) return *failed;
  if (const auto failed = hold_ports(flags, *plan)) return *failed;
  if (const auto failed = fit_to_model(*plan)) return *failed;
  const int signals = blocked_signals();
  Supervisor supervisor(local_services(*plan), {[address = *ops] { return is_ready(address); },
                                                [&] { describe(flags, *plan); },
                                                [](const std::string& line) { say(line); }});
  const auto end = supervisor.run(signals, std::chrono::seconds(flags.drain_s.value_or(30)));
  if (end.signal != 0) return 0;
  say(end.failed.name + " could not start (exit code " + std::to_string(end.code) +
      "); its message is above");
  return end.code;
}

}  // namespace

Command up_command() {
  Command command;
  command.name = "up";
  command.summary = "A cluster of processes on this machine: gateway, routers, attention, experts";
  command.usage = "troupe up [MODEL] [--experts N] [--attention M] [--routers K] [flags]";
  command.examples = {"troupe up --experts 4",
                      "troupe up MODEL --experts 8 --attention 2 --routers 2 --transport tcp",
                      "troupe up MODEL --placement colocated --set budget.hop_ms=500"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    options.group("Services");
    options.add({"MODEL", "", "Checkpoint directory [the bundled model]", text(flags->model)});
    options.add({"--experts", "N", "Expert services, each with its share of the experts [2]",
                 integer(flags->experts, {1, kProcessesMax})});
    options.add({"--attention", "M", "Attention services [1]",
                 integer(flags->attention, {1, kProcessesMax})});
    options.add({"--routers", "K", "Router services; not with colocated placement [1]",
                 integer(flags->routers, {1, kProcessesMax})});
    options.add({"--placement", "P", "Routers separate, or colocated with attention [separate]",
                 choice(flags->placement, {"separate", "colocated"})});
    options.add({"--transport", "T", "What carries rows: auto, shm, tcp [auto]",
                 choice(flags->transport, {"auto", "shm", "tcp"})});
    options.add(mode_option(flags->mode, "auto"));
    Option level = level_option(flags->level);
    level.shown = Shown::help_all;
    options.add(std::move(level));
    options.group("Listening");
    options.add(
        {"--http-listen", "ADDRESS", "OpenAI-compatible HTTP [127.0.0.1:8080]", text(flags->http)});
    options.add({"--grpc-listen", "ADDRESS", "gRPC [127.0.0.1:50051]", text(flags->grpc)});
    options.add({"--admin-listen", "ADDRESS", "Admin gRPC [127.0.0.1:50052]", text(flags->admin)});
    options.add({"--ops-listen", "ADDRESS", "The gateway's probes and metrics [127.0.0.1:9090]",
                 text(flags->ops)});
    options.group("All services");
    options.add({"--set",
                 "KEY=VALUE",
                 "A configuration key for all services; repeats",
                 text_list(flags->settings),
                 {},
                 Shown::first_screen,
                 true});
    options.add({"--log-level", "L", "debug, info, warning or error [warning]",
                 choice(flags->log_level, {"debug", "info", "warning", "error"})});
    options.add({"--drain-timeout-s", "S", "How long open requests may go on after Ctrl-C [30]",
                 integer(flags->drain_s, {0, kDrainMax})});
    return [flags] { return up(*flags); };
  };
  return command;
}

}  // namespace troupe::services
