// From flags to a running cluster.
#include "services/cli/compute.hpp"

#include <algorithm>

#include "model/activation_choice.hpp"
#include "services/cli/loading_notice.hpp"
#include "services/cli/loading_progress.hpp"
#include "services/cli/process_cluster.hpp"
#include "services/runtime/interrupts.hpp"

namespace troupe::services {
namespace {

/// Layouts that the model cannot fill. *Errors*: `invalid_argument`.
Expected<void> check_layout(const Layout& layout, const model::ModelConfig& config) {
  if (layout.experts <= config.routed_experts) return {};
  return unexpected(Errc::invalid_argument, "--layout asks for " + std::to_string(layout.experts) +
                                                " expert shards, and the model has " +
                                                std::to_string(config.routed_experts) +
                                                " experts. Ask for that many at "
                                                "most");
}

}  // namespace

std::optional<int> check_engine(const EngineOptions& options) {
  if (options.transport_by_flag && !options.layout.processes)
    return report(Fault::bad_value,
                  "--transport " + options.transport +
                      " is what carries rows between processes, and the layout has none. Leave it "
                      "out, or ask for --layout processes:experts=2");
  const auto table = kernels::select_level(options.level);
  if (table) return std::nullopt;
  return report(Fault::level_not_available, table.error().detail);
}

namespace {

constexpr std::chrono::milliseconds kReadyPoll{20};

void log_to_stderr(const actors::NodeEvent& event) {
  if (event.severity != actors::NodeEvent::Severity::info) warn(event.name + " " + event.detail);
}

/// The same limits as in one process: nothing but the layout differs.
LocalPlan plan_of(const OpenModel& model, const EngineOptions& options,
                  const actors::ClusterSettings& settings) {
  LocalPlan plan;
  plan.model = model.checkpoint.directory().string();
  plan.experts = options.layout.experts;
  plan.attention = options.layout.attention;
  plan.routers = options.layout.routers;
  plan.colocated = options.layout.colocated;
  plan.threads = settings.threads;
  const auto step_rows = std::max(settings.step_rows_max, settings.chunk);
  const auto truth = [](bool value) { return std::string(value ? "true" : "false"); };
  plan.settings = {{"engine.mode", std::string(to_string(settings.mode))},
                   {"engine.kv_cache", options.kv_cache},
                   {"engine.level", options.level},
                   {"engine.pin_threads", truth(options.pin_threads)},
                   {"engine.huge_pages", truth(options.pages().huge)},
                   {"engine.lock_weights", truth(options.lock_weights)},
                   {"engine.weights", options.weights},
                   {"engine.chunk_tokens", std::to_string(settings.chunk)},
                   {"engine.step_rows_max", std::to_string(step_rows)},
                   {"engine.prompt_ms", std::to_string(settings.prompt_budget.count())},
                   {"attention.kv_tokens_max", std::to_string(settings.kv_tokens_max)},
                   {"attention.prefix_cache", options.prefix_cache},
                   {"attention.micro_batches", options.micro_batches},
                   {"attention.waiting_max", std::to_string(settings.waiting_max)},
                   {"budget.hop_ms", std::to_string(settings.hop_budget.count())},
                   {"transport.lanes", options.transport},
                   {"log.level", "warning"}};
  return plan;
}

StartedCluster start_processes(const OpenModel& model, const EngineOptions& options,
                               actors::ClusterSettings settings) {
  actors::NodeSettings node;
  node.transport = options.transport == "shm"   ? actors::Transport::shm
                   : options.transport == "tcp" ? actors::Transport::tcp
                                                : actors::Transport::automatic;
  node.engine = settings;
  node.engine.attention = options.layout.attention;
  actors::NodeHooks hooks;
  hooks.on_event = log_to_stderr;
  const LoadingNotice notice(model.checkpoint.directory().string());
  auto cluster = ProcessCluster::start(plan_of(model, options, settings), model.checkpoint, node,
                                       std::move(hooks));
  if (!cluster) return {nullptr, report(Fault::engine_failed, cluster.error().detail)};
  for (;;) {
    const auto ready = (*cluster)->ready(kReadyPoll);
    if (!ready) return {nullptr, report(Fault::engine_failed, ready.error().detail)};
    if (*ready) return {*std::move(cluster), 0};
    if (interrupted()) return {nullptr, static_cast<int>(ExitCode::interrupt)};
  }
}

actors::ClusterSettings settings_of(const EngineOptions& options, model::WeightFormat weights,
                                    std::size_t requests) {
  actors::ClusterSettings settings = shards_of(options.layout);
  const model::Numerics numerics = numerics_of(options, weights);
  settings.mode = numerics.mode;
  settings.kv_cache = numerics.kv_cache;
  settings.threads = static_cast<int>(options.threads.value_or(0));
  settings.pin_threads = options.pin_threads;
  settings.chunk = options.chunk.value_or(settings.chunk);
  settings.kv_tokens_max = options.kv_tokens.value_or(0);
  settings.prefix_cache = options.prefix_cache == "on";
  settings.prompt_budget = std::chrono::milliseconds(options.prompt_ms.value_or(0));
  // Roles of one process compute on the same threads: none of them is ever idle for another.
  if (options.micro_batches != "auto")
    settings.micro_batches = actors::micro_batching_of(options.micro_batches);
  settings.table = *kernels::select_level(options.level);
  settings.waiting_max = std::max(settings.waiting_max, requests);
  return settings;
}

}  // namespace

model::Numerics numerics_of(const EngineOptions& options, model::WeightFormat weights) {
  return {*model::decide_activation_mode(options.mode, weights),
          *model::parse_kv_cache(options.kv_cache)};
}

actors::ClusterSettings shards_of(const Layout& layout) {
  actors::ClusterSettings shards;
  shards.experts = layout.experts;
  shards.attention = layout.attention;
  shards.routers = layout.routers;
  shards.colocated = layout.colocated;
  return shards;
}

StartedCluster start_cluster(const OpenModel& model, const EngineOptions& options,
                             std::size_t requests) {
  if (!options.layout.processes) {
    auto local = start_local(model, options, requests);
    return {std::move(local.cluster), local.exit_code};
  }
  if (const auto fits = check_layout(options.layout, model.config()); !fits) {
    return {nullptr, report(Fault::impossible_layout, fits.error().detail)};
  }
  return start_processes(model, options,
                         settings_of(options, model.config().quantisation.format, requests));
}

StartedLocal start_local(const OpenModel& model, const EngineOptions& options, std::size_t requests,
                         const LoadCounters& counters) {
  if (options.layout.processes) {
    return {nullptr, report(Fault::impossible_layout,
                            "--layout processes: is not for this command, which runs all roles in "
                            "one process. `troupe up` starts a cluster of processes")};
  }
  if (const auto fits = check_layout(options.layout, model.config()); !fits) {
    return {nullptr, report(Fault::impossible_layout, fits.error().detail)};
  }
  auto settings = settings_of(options, model.config().quantisation.format, requests);
  settings.loading = counters.whole;
  settings.loading_experts = counters.experts;
  const LoadingProgress loading(progress_style(options.no_progress), counters.whole);
  auto cluster = actors::LocalCluster::start(model.checkpoint, settings);
  if (!cluster) {
    return {nullptr, report(model_fault(cluster.error().code), cluster.error().detail)};
  }
  return {*std::move(cluster), 0, settings};
}

}  // namespace troupe::services
