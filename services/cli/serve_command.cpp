// `troupe serve`: all roles in this process behind the gateway's APIs.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "kernels/registry.hpp"
#include "services/cli/activations.hpp"
#include "services/cli/command.hpp"
#include "services/cli/compute.hpp"
#include "services/cli/engine_options.hpp"
#include "services/cli/serve_ops.hpp"
#include "services/gateway/call_log.hpp"
#include "services/gateway/gateway_settings.hpp"
#include "services/gateway/grpc/admin_server.hpp"
#include "services/gateway/grpc/grpc_log.hpp"
#include "services/gateway/local_engine.hpp"
#include "services/runtime/config/config_keys.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/model_lookup.hpp"
#include "services/runtime/progress.hpp"
#include "services/runtime/suggest.hpp"

namespace troupe::services {
namespace {

constexpr std::chrono::milliseconds kSignalPoll{100};

struct Flags {
  std::string model;
  EngineOptions engine;
  ServedModel::Settings served;
  Address grpc_listen{"127.0.0.1", 50051};
  Address admin_listen{"127.0.0.1", 50052};
  Address ops_listen{"127.0.0.1", 9090};
  ServiceConfig config;  // of the gateway's ports
  std::vector<std::string> settings;
  bool reflection = true;
  std::optional<std::int64_t> drain_s;
  std::optional<std::int64_t> stream_pending_kib;
};

Assign address(Address& target) {
  return [&target](std::string_view value) -> Expected<void> {
    auto parsed = parse_address(value);
    if (!parsed) return unexpected(std::move(parsed).error());
    target = *std::move(parsed);
    return {};
  };
}

void declare(OptionSet& options, Flags& flags) {
  options.group("Model");
  options.add({"MODEL", "", "Hugging Face checkpoint directory [the bundled troupe-tiny]",
               text(flags.model)});
  options.add({"--served-name", "NAME", "What requests call the model [the directory's name]",
               text(flags.served.name)});
  options.add({"--chat-template",
               "FILE",
               "Jinja template instead of the model's own",
               text(flags.served.template_file),
               {},
               Shown::help_all});
  options.group("Ports");
  options.add({"--http-listen", "HOST:PORT", "OpenAI-compatible HTTP [127.0.0.1:8080]",
               address(flags.config.gateway.http_listen)});
  options.add({"--grpc-listen", "HOST:PORT",
               "Clients' gRPC; port 0 takes any free one [127.0.0.1:50051]",
               address(flags.grpc_listen)});
  options.add({"--admin-listen", "HOST:PORT", "Operators' gRPC [127.0.0.1:50052]",
               address(flags.admin_listen)});
  options.add({"--ops-listen", "HOST:PORT", "Probes and metrics over HTTP [127.0.0.1:9090]",
               address(flags.ops_listen)});
  options.add({"--drain-timeout", "S", "Seconds that open requests have after SIGTERM [300]",
               integer(flags.drain_s, {0, 86400})});
  options.add({"--grpc-reflection",
               "BOOL",
               "Whether clients may ask which services there are [true]",
               yes_no(flags.reflection),
               {},
               Shown::help_all});
  options.add({"--strict-api",
               "BOOL",
               "Refuse fields of requests that have no effect [false]",
               yes_no(flags.config.gateway.strict_api),
               {},
               Shown::help_all});
  options.add({"--tls-cert-file",
               "FILE",
               "PEM certificate, its chain behind it; none: no TLS",
               text(flags.config.tls.cert_file),
               {},
               Shown::help_all});
  options.add({"--tls-key-file",
               "FILE",
               "PEM key of the certificate",
               text(flags.config.tls.key_file),
               {},
               Shown::help_all});
  options.add({"--stream-pending-kib",
               "N",
               "Of an answer whose client reads too slowly, at most N KiB wait [1024]",
               integer(flags.stream_pending_kib, {1, 1 << 20}),
               {},
               Shown::help_all});
  options.add({"--set",
               "KEY=VALUE",
               "A configuration key gateway.* or tls.*; repeats",
               text_list(flags.settings),
               {},
               Shown::help_all,
               true});
  options.group("Engine");
  flags.engine.prompt_ms = flags.config.engine.prompt_budget.count();
  flags.engine.declare(options, Spread::one_process);
}

std::atomic<bool> terminate_flag{false};
extern "C" void on_terminate(int) {
  if (terminate_flag.exchange(true)) ::_Exit(static_cast<int>(ExitCode::terminate));
}

/// Whether `serve` uses a key of the configuration.
bool of_gateway(const std::string& key) {
  return key.starts_with("gateway.") || key.starts_with("tls.");
}

/// "KEY=VALUE" into the configuration. Returns the exit code of a reported error.
std::optional<int> read_settings(Flags& flags) {
  for (const std::string& setting : flags.settings) {
    const auto equals = setting.find('=');
    const std::string key = setting.substr(0, equals);
    const ConfigKey* known = find_config_key(key);
    if (equals == std::string::npos || known == nullptr || !of_gateway(key)) {
      auto taken = config_paths();
      std::erase_if(taken, [](const auto& path) { return !of_gateway(path); });
      const auto nearest = equals == std::string::npos ? "" : did_you_mean(key, taken);
      return report(Fault::bad_value, "--set " + setting +
                                          ": takes KEY=VALUE with a key gateway.* or tls.* of "
                                          "`troupe config print-defaults`" +
                                          nearest);
    }
    if (const auto taken = known->assign(flags.config, setting.substr(equals + 1)); !taken)
      return report(Fault::bad_value, "--set " + setting + ": " + taken.error().detail);
  }
  return std::nullopt;
}

GrpcSettings grpc_settings(const Flags& flags, const Address& listen, StrangerSink on_stranger) {
  GrpcSettings settings;
  settings.on_stranger = std::move(on_stranger);
  settings.listen = listen;
  settings.reflection = flags.reflection;
  return settings;
}

void tell_about_keys(const std::string& error) {
  const std::string news = error.empty() ? "the file of API keys was read again" : error;
  std::fprintf(stderr, "%s\n", news.c_str());
}

/// Until Ctrl-C or SIGTERM; then until no call is open, or the time for it is over.
void serve_until_told(GatewayServer& gateway, ServeOps& ops, std::chrono::seconds drain) {
  const auto turn = [&] {
    std::this_thread::sleep_for(kSignalPoll);
    ops.beat();
  };
  while (!interrupted() && !terminate_flag) turn();
  ops.begin_draining();
  gateway.drain();
  const auto until = std::chrono::steady_clock::now() + drain;
  while (gateway.calls_open().total() > 0 && std::chrono::steady_clock::now() < until) turn();
}

int serve(Flags& flags) {
  ::signal(SIGTERM, on_terminate);
  if (const auto failed = read_settings(flags)) return *failed;
  if (const auto failed = check_engine(flags.engine)) return *failed;
  auto model = open_model(flags.model, {.pages = flags.engine.pages()});
  if (!model) return report(model_fault(model.error().code), model.error().detail);
  flags.served.name = served_name(flags.served.name, flags.model);
  Logger log({"serve"}, Logger::Format::human, LogLevel::warning);  // its other lines are text, too
  StrangerLog strangers(log);
  ServeOps ops(flags.served.name);
  const LoadCounters& loading = ops.begin_loading(flags.engine, model->config());
  if (const auto opened = ops.open(flags.ops_listen, strangers.sink()); !opened)
    return report(Fault::cannot_bind, "--ops-listen: " + opened.error().detail);
  const model::Quantisation& weights = model->config().quantisation;
  const model::Numerics numerics = numerics_of(flags.engine, weights.format);
  LocalEngine engine(model::numerics_id(model->checkpoint.revision(), numerics),
                     shards_of(flags.engine.layout), model->config().routed_experts);
  GatewayServerSettings settings = gateway_server_settings(flags.config);
  engine.set_ops_address(ops.address());
  engine.set_version(settings.http.api.version);
  flags.served.mode = numerics.mode;
  flags.served.numerics_id = engine.numerics_id();
  flags.served.strict = flags.config.gateway.strict_api;
  const auto served = ServedModel::make(*model, flags.served);
  if (!served) return report(Fault::chat_template, served.error().detail);

  const GrpcLog grpc_log(log);
  CallLog calls(log);
  auto admin = AdminServer::start(grpc_settings(flags, flags.admin_listen, strangers.sink()),
                                  [&engine] { return engine.report(); });
  if (!admin) return report(Fault::cannot_bind, "--admin-listen: " + admin.error().detail);
  settings.grpc = grpc_settings(flags, flags.grpc_listen, {});
  settings.http.api.health = ops.health();
  settings.http.api.cluster = {[&engine] { return engine.report(); },
                               [&engine] { return engine.loads(); }};
  if (flags.stream_pending_kib) {
    settings.stream.pending_bytes_max = static_cast<std::size_t>(*flags.stream_pending_kib) << 10;
  }
  auto gateway =
      GatewayServer::start(*served, engine, settings, [&engine] { return engine.epoch(); },
                           {[&](const CallRecord& call) {
                              ops.on_call_end(call);
                              calls.tell(call);
                            },
                            tell_about_keys, strangers.sink()});
  if (!gateway) {
    const bool setting = gateway.error().code == Errc::invalid_argument;
    return report(setting ? Fault::config_bad_value : Fault::cannot_bind, gateway.error().detail);
  }
  // Whoever comes while the model loads hears so: the ports are open.
  StartedLocal started = start_local(*model, flags.engine, 1, loading);
  if (!started.cluster) return started.exit_code;
  const std::int64_t copies = started.cluster->status().derived_bytes;
  engine.begin(std::move(started.cluster));
  (*gateway)->refresh();  // whoever reads the next line finds it healthy
  ops.begin_serving(engine, [&gateway] { return (*gateway)->calls_open().counts(); });
  const std::string level((*kernels::select_level(flags.engine.level))->name);
  std::fprintf(stderr, "serving %s (%s, level %s, mode %s, %s)\n", served->name().c_str(),
               model->checkpoint.directory().c_str(), level.c_str(),
               std::string(to_string(numerics.mode)).c_str(), served->fingerprint().c_str());
  if (copies > 0)
    std::fprintf(stderr, "copies made at load: %s beside the weights\n",
                 human_bytes(static_cast<std::uint64_t>(copies)).c_str());
  std::fprintf(stderr, "%s\nHTTP   %s\ngRPC   %s\nadmin  %s\nops    %s\n",
               activations_line(flags.engine.mode, weights).c_str(), (*gateway)->http_url().c_str(),
               (*gateway)->address().c_str(), (*admin)->address().c_str(), ops.address().c_str());
  serve_until_told(**gateway, ops, std::chrono::seconds(flags.drain_s.value_or(300)));
  ops.close();
  return static_cast<int>(ExitCode::ok);
}

}  // namespace

Command serve_command() {
  Command command;
  command.name = "serve";
  command.summary = "Serve a model over HTTP and gRPC, all roles in this process";
  command.usage = "troupe serve [MODEL] [flags]";
  command.examples = {
      "troupe serve",
      "troupe serve DIR --grpc-listen 0.0.0.0:50051",
      "troupe serve DIR --layout experts=4,attention=2",
  };
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    declare(options, *flags);
    return [flags] { return serve(*flags); };
  };
  return command;
}

}  // namespace troupe::services
