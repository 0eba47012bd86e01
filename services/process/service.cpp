// Start, serve, drain.
#include "services/process/service.hpp"

#include <signal.h>
#include <unistd.h>

#include "model/activation_choice.hpp"
#include "services/process/node_settings.hpp"
#include "services/process/summary.hpp"
#include "services/runtime/model_lookup.hpp"
#include "services/runtime/terminal.hpp"
#include "transport/descriptors.hpp"

namespace troupe::services {
namespace {

constexpr std::chrono::milliseconds kIdlePoll{500};
constexpr std::chrono::milliseconds kBusyPoll{50};
/// The main loop turns at least every kIdlePoll; a machine that is short of time gets some more.
constexpr std::chrono::seconds kStuckAfter{15};

LogIdentity identity(const ServiceOrder& order) {
  return {std::string(to_string(order.role)), index_of(order.config, order.role)};
}

bool human(const ServiceConfig& config) {
  return log_format(config.log.format, stderr_is_terminal()) == Logger::Format::human;
}

Expected<std::shared_ptr<const model::Checkpoint>> open_checkpoint(const ServiceConfig& config) {
  auto directory = find_model(config.model.path);
  if (!directory) return unexpected(directory.error());
  auto checkpoint =
      model::Checkpoint::open(*directory, {.huge = config.engine.huge_pages,
                                           .locked = config.engine.lock_weights,
                                           .copied = config.engine.weights == "copied",
                                           .sparing = true});
  if (!checkpoint) return unexpected(checkpoint.error());
  return std::shared_ptr<const model::Checkpoint>(
      std::make_shared<model::Checkpoint>(*std::move(checkpoint)));
}

LogLevel level_of(transport::UcxLogLevel level) {
  switch (level) {
    case transport::UcxLogLevel::error: return LogLevel::error;
    case transport::UcxLogLevel::warning: return LogLevel::warning;
    case transport::UcxLogLevel::info: return LogLevel::info;
    case transport::UcxLogLevel::debug: return LogLevel::debug;
  }
  return LogLevel::info;
}

/// Of errors met before anything is loaded.
Fault settings_fault(Errc code) {
  return code == Errc::unsupported_cpu ? Fault::level_not_available : Fault::config_conflict;
}

}  // namespace

Service::Service(const ServiceOrder& order)
    : order_(order),
      log_(identity(order), log_format(order.config.log.format, stderr_is_terminal()),
           log_level(order.config.log.level)),
      ucx_log_(
          [this](transport::UcxLogLevel level, std::string_view text, std::string_view from) {
            log_.log(level_of(level), "ucx", text, {{"source", from}});
          },
          [this](const transport::UcxStranger& who) { on_ucx_stranger(who); }),
      loading_(log_, human(order.config) && stderr_is_terminal()),
      served_name_(served_name(order.config.model.served_name, order.config.model.path)),
      metrics_(served_name_) {
  beat();
}

Service::~Service() {
  ops_.reset();
  front_.reset();
}

void Service::beat() { last_beat_ = Clock::now().time_since_epoch().count(); }

int Service::fail(Fault fault, const std::string& text) {
  loading_.finish();
  if (human(order_.config)) return report(fault, text);
  log_.error("failed", text,
             {{"code", "TROUPE-" + std::to_string(static_cast<int>(fault))},
              {"exit_code", static_cast<std::int64_t>(exit_code_of(fault))}});
  return static_cast<int>(exit_code_of(fault));
}

int Service::run() {
  transport::raise_descriptor_limit();
  if (order_.exit_with_parent && !end_with_parent()) return 0;
  auto settings = node_settings(order_.config, order_.role);
  if (!settings) return fail(settings_fault(settings.error().code), settings.error().detail);
  settings_ = *std::move(settings);
  if (auto failed = open_ops_port()) return *failed;
  if (auto ended = load()) return *ended;
  if (auto failed = open_front()) return *failed;
  summarise();
  return *serve();
}

std::optional<int> Service::open_ops_port() {
  auto opened = OpsServer::start(order_.config.ops.listen, health(), strangers_.sink());
  if (!opened) return fail(Fault::cannot_bind, "ops.listen: " + opened.error().detail);
  ops_ = *std::move(opened);
  settings_.ops_address = ops_->address().text();
  log_.info("ops_listening", "probes and metrics", {{"address", settings_.ops_address}});
  return std::nullopt;
}

std::optional<int> Service::load() {
  std::atomic<bool> finished{false};
  int code = 0;
  std::thread loader([&] {
    code = load_and_start();
    finished = true;
    signals_.wake();
  });
  while (!finished) {
    if (const int signal = signals_.wait(kBusyPoll); signal != 0 && !finished) {
      log_.info("stopped", "while loading", {{"signal", std::int64_t{signal}}});
      ::_exit(0);  // loading cannot be interrupted; nothing is open yet
    }
    beat();
    loading_.show();
  }
  loader.join();
  loading_.finish();
  if (code != 0) return code;
  started_ = true;
  attach_metrics();
  return std::nullopt;
}

int Service::load_and_start() {
  const auto& own = order_.parts.open;
  auto checkpoint = own ? own(order_.config.model.path) : open_checkpoint(order_.config);
  if (!checkpoint) return fail(model_fault(checkpoint.error().code), checkpoint.error().detail);
  checkpoint_ = *std::move(checkpoint);
  const auto mode = model::decide_activation_mode(order_.config.engine.mode,
                                                  checkpoint_->config().quantisation.format);
  if (!mode) return fail(Fault::config_conflict, "engine.mode: " + mode.error().detail);
  settings_.engine.mode = *mode;
  metrics_.declare(hosted_roles(settings_), checkpoint_->config());
  attach_metrics();
  actors::NodeHooks hooks;
  hooks.on_event = [this](const actors::NodeEvent& event) { on_event(event); };
  hooks.on_loading = [this](const LoadSnapshot& progress) { loading_.report(progress); };
  auto node = actors::ClusterNode::start(*checkpoint_, settings_, std::move(hooks));
  if (!node) return fail_start(node.error());
  node_ = *std::move(node);
  return 0;
}

void Service::attach_metrics() {
  MetricSources sources;
  sources.loading = [this](std::uint32_t) { return loading_.progress(); };
  if (node_) {
    sources.statuses = [this] { return statuses_of(node_->status(), settings_.index); };
    sources.report = [this] { return node_->report(); };
  }
  if (front_) sources.front = [this](const actors::RoleStatuses& all) { front_->collect(all); };
  metrics_.attach(std::move(sources));
}

int Service::fail_start(const Error& error) {
  if (error.code == Errc::unavailable)
    return fail(Fault::cannot_bind, "control.listen: " + error.detail);
  if (error.code == Errc::invalid_argument) return fail(Fault::config_conflict, error.detail);
  return fail(model_fault(error.code), error.detail);
}

std::optional<int> Service::open_front() {
  if (order_.parts.make_front) {
    auto front = order_.parts.make_front(
        {order_.config, served_name_, *node_, metrics_.book(), log_, health(), strangers_.sink()});
    if (!front) {
      const bool port = front.error().code == Errc::unavailable || front.error().code == Errc::io;
      const bool setting = front.error().code == Errc::invalid_argument;
      return fail(port      ? Fault::cannot_bind
                  : setting ? Fault::config_bad_value
                            : model_fault(front.error().code),
                  front.error().detail);
    }
    front_ = *std::move(front);
    attach_metrics();
  }
  front_open_ = true;
  return std::nullopt;
}

void Service::summarise() {
  SummaryFacts facts{order_, settings_, *checkpoint_, *node_, served_name_, {}, {}};
  if (front_) facts.front = front_->addresses();
  facts.started_in = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began_);
  const auto lines = summary_lines(facts);
  if (human(order_.config)) {
    std::string text;
    for (const auto& [name, value] : lines) {
      std::string padded = name;
      padded.resize(11, ' ');
      text += "  " + padded + value + "\n";
    }
    std::fputs(text.c_str(), stderr);
    return;
  }
  LogFields fields;
  for (const auto& [name, value] : lines) fields.emplace_back(name, value);
  log_.info("started", "this service is up", fields);
}

std::optional<int> Service::serve() {
  bool serving = false;
  while (true) {
    const int signal = signals_.wait(kIdlePoll);
    beat();
    if (signal != 0) return drain(signal);
    if (const auto fatal = node_->fatal())
      return fail(fatal->code == Errc::overloaded ? Fault::try_later : Fault::cluster_refused,
                  fatal->detail);
    const auto now = node_->readiness();
    if (serving == now.ready()) continue;
    serving = !serving;
    if (serving)
      log_.info("ready", "requests can be served");
    else
      log_.warning("not_ready", now.detail);
  }
}

int Service::drain(int signal) {
  draining_ = true;
  const auto until = Clock::now() + order_.config.drain.timeout;
  log_.info("draining", "no new work is taken",
            {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"},
             {"timeout_s", static_cast<std::int64_t>(order_.config.drain.timeout.count())}});
  if (front_) front_->drain();
  node_->drain();
  while (!(node_->drained() && (!front_ || front_->drained()))) {
    if (Clock::now() >= until) {
      log_.warning("drain_timed_out", "open requests are cancelled");
      return 0;
    }
    beat();
    if (const int second = signals_.wait(kBusyPoll); second != 0) {
      log_.warning("stopped", "at once, by a second signal");
      ::_exit(static_cast<int>(second == SIGINT ? ExitCode::interrupt : ExitCode::terminate));
    }
    if (node_->fatal()) break;
  }
  log_.info("drained", "nothing is open any more");
  return 0;
}

void Service::on_event(const actors::NodeEvent& event) {
  std::string message;
  const auto fields = fields_of(event.detail, message);
  using Severity = actors::NodeEvent::Severity;
  // Once this service leaves, links that break are no news.
  const auto level = event.severity == Severity::error                   ? LogLevel::error
                     : event.severity == Severity::warning && !draining_ ? LogLevel::warning
                                                                         : LogLevel::info;
  log_.log(level, event.name, message, fields);
  if (event.severity != Severity::info) signals_.wake();
}

void Service::on_ucx_stranger(const transport::UcxStranger& who) {
  strangers_.tell({"ucx",
                   {who.host, who.port},
                   "foreign",
                   "it sent " + who.looks_like + "; links of this cluster have this port"});
}

HealthSources Service::health() {
  return {[this] { return live_checks(); }, [this] { return ready_checks(); },
          [this] { return start_checks(); }, [this] { return loaded_share(loading_.progress()); },
          [this] { return metrics_.text(); }};
}

HealthChecks Service::live_checks() const {
  const auto idle = Clock::now().time_since_epoch() - Clock::duration(last_beat_.load());
  return {{"main_loop", idle < kStuckAfter ? "" : "has not turned for 15 s"}};
}

HealthChecks Service::start_checks() const {
  return {{"weights", started_ ? "" : loading_text(loading_.progress())}};
}

HealthChecks Service::ready_checks() const {
  HealthChecks checks = start_checks();
  if (started_) {
    for (auto& check : node_->checks())
      checks.push_back({std::move(check.name), std::move(check.lack)});
    checks.push_back({"ports", front_open_ ? "" : "not open yet"});
  }
  checks.push_back({"not_draining", draining_ ? "SIGTERM or SIGINT came" : ""});
  return checks;
}

int run_service(const ServiceOrder& order) {
  Service service(order);
  return service.run();
}

}  // namespace troupe::services
