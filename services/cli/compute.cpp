// From flags to a running cluster.
#include "services/cli/compute.hpp"

#include <algorithm>

#include "services/cli/loading_notice.hpp"

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

std::optional<int> check_level(const EngineOptions& options) {
  const auto table = kernels::select_level(options.level);
  if (table) return std::nullopt;
  const bool unknown = table.error().code == Errc::invalid_argument;
  return report(unknown ? Fault::bad_value : Fault::level_not_available,
                "--level: " + table.error().detail);
}

StartedCluster start_cluster(const OpenModel& model, const EngineOptions& options,
                             std::size_t requests) {
  if (const auto fits = check_layout(options.layout, model.config()); !fits) {
    return {nullptr, report(Fault::impossible_layout, fits.error().detail)};
  }
  actors::ClusterSettings settings;
  settings.experts = options.layout.experts;
  settings.attention = options.layout.attention;
  settings.routers = options.layout.routers;
  settings.mode = *model::parse_activation_mode(options.mode);
  settings.threads = static_cast<int>(options.threads.value_or(0));
  settings.chunk = options.chunk.value_or(settings.chunk);
  settings.table = *kernels::select_level(options.level);
  settings.waiting_max = std::max(settings.waiting_max, requests);
  const LoadingNotice notice(model.checkpoint.directory().string());
  auto cluster = actors::LocalCluster::start(model.checkpoint, settings);
  if (!cluster) {
    return {nullptr, report(model_fault(cluster.error().code), cluster.error().detail)};
  }
  return {*std::move(cluster), 0, settings};
}

}  // namespace troupe::services
