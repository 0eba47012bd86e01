// What one process with all roles answers to probes.
#include "services/cli/serve_ops.hpp"

#include <utility>

#include "services/process/loading.hpp"

namespace troupe::services {
namespace {

/// The main loop turns ten times a second; a machine that is short of time gets some more.
constexpr std::chrono::seconds kStuckAfter{15};

}  // namespace

HealthSources ServeOps::health() {
  HealthSources sources;
  sources.live = [this] { return live_checks(); };
  sources.ready = [this] { return ready_checks(); };
  sources.started = [this] { return start_checks(); };
  sources.load_progress = [this] { return loaded_share(loading_.whole->snapshot()); };
  sources.metrics = [this] { return metrics_.text(); };
  return sources;
}

Expected<void> ServeOps::open(const Address& listen, StrangerSink on_stranger) {
  auto server = OpsServer::start(listen, health(), std::move(on_stranger));
  if (!server) return unexpected(server.error());
  server_ = *std::move(server);
  return {};
}

const LoadCounters& ServeOps::begin_loading(const EngineOptions& options,
                                            const model::ModelConfig& config) {
  for (int i = 0; i < options.layout.experts; ++i)
    loading_.experts.push_back(std::make_shared<model::LoadProgress>(loading_.whole));
  metrics_.declare(hosted_roles(shards_of(options.layout)), config);
  MetricSources sources;
  sources.loading = [this](std::uint32_t rank) { return loading_.experts.at(rank)->snapshot(); };
  metrics_.attach(std::move(sources));
  return loading_;
}

void ServeOps::begin_serving(const LocalEngine& engine,
                             std::function<OpenCalls::Counts()> calls_open) {
  MetricSources sources;
  sources.loading = [this](std::uint32_t rank) { return loading_.experts.at(rank)->snapshot(); };
  sources.statuses = [&engine] { return engine.roles(); };
  sources.report = [&engine] { return engine.report(); };
  sources.front = [this, calls_open = std::move(calls_open)](const actors::RoleStatuses& all) {
    gateway_.take(all.gateway.value_or(actors::GatewayStatus{}), calls_open());
  };
  metrics_.attach(std::move(sources));
  beat();
  serving_ = true;
}

HealthChecks ServeOps::live_checks() const {
  const auto idle = Clock::now().time_since_epoch() - Clock::duration(last_beat_.load());
  return {{"main_loop", !serving_ || idle < kStuckAfter ? "" : "has not turned for 15 s"}};
}

HealthChecks ServeOps::start_checks() const {
  return {{"weights", serving_ ? "" : loading_text(loading_.whole->snapshot())}};
}

HealthChecks ServeOps::ready_checks() const {
  HealthChecks checks = start_checks();
  checks.push_back({"not_draining", draining_ ? "SIGTERM or SIGINT came" : ""});
  return checks;
}

}  // namespace troupe::services
