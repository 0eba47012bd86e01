// Starts the roles of a model, in this process or as processes of their own, as the flags ask.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "actors/local_cluster.hpp"
#include "core/expected.hpp"
#include "kernels/registry.hpp"
#include "services/cli/engine_options.hpp"
#include "services/prompt/open_model.hpp"
#include "services/runtime/faults.hpp"

namespace troupe::services {

/// Checks what needs no weights: the level exists here, --transport has processes to be between.
/// Returns the exit code of a reported error.
std::optional<int> check_engine(const EngineOptions& options);

/// What --mode and --kv-cache mean with such weights.
model::Numerics numerics_of(const EngineOptions& options, model::WeightFormat weights);

/// The defaults with so many shards of each role.
actors::ClusterSettings shards_of(const Layout& layout);

/// A running cluster, or the exit code of the error that was reported. Says so on stderr when
/// loading takes long. `model` must outlive it; `requests` are submitted at once.
struct StartedCluster {
  std::unique_ptr<actors::RequestEngine> cluster;
  int exit_code = 0;
};
StartedCluster start_cluster(const OpenModel& model, const EngineOptions& options,
                             std::size_t requests);

/// Told how far loading is: all of it, and the experts of each shard apart where there is one.
struct LoadCounters {
  std::shared_ptr<model::LoadProgress> whole = std::make_shared<model::LoadProgress>();
  std::vector<std::shared_ptr<model::LoadProgress>> experts = {};  // made with `whole`
};

/// The same for commands that need all roles in this process; other layouts are refused.
struct StartedLocal {
  std::unique_ptr<actors::LocalCluster> cluster;
  int exit_code = 0;
  actors::ClusterSettings settings = {};
};
StartedLocal start_local(const OpenModel& model, const EngineOptions& options, std::size_t requests,
                         const LoadCounters& counters = {});

}  // namespace troupe::services
