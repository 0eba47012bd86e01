// The weights of the roles of one process: what a role does not compute with is not touched.
#pragma once
#include <functional>
#include <memory>

#include "actors/node/cluster_node.hpp"
#include "kernels/engine.hpp"
#include "model/attention_model.hpp"
#include "model/expert_model.hpp"
#include "model/router_model.hpp"

namespace troupe::actors {

struct NodeModels {
  std::shared_ptr<const model::AttentionModel> attention;
  std::shared_ptr<const model::RouterModel> router;
  std::shared_ptr<const model::ExpertModel> expert;

  /// Of copies made at load, beside the mapped weights (design I5).
  std::int64_t derived_bytes() const {
    return (attention ? attention->derived_bytes() : 0) + (expert ? expert->derived_bytes() : 0);
  }
};

/// Blocks until the weights are there; a gateway has none. `on_progress` hears how far it is while
/// it grows, and at the end. *Errors*: those of the models.
Expected<NodeModels> load_models(const model::Checkpoint& checkpoint, const NodeSettings& settings,
                                 model::Numerics numerics, const kernels::Engine& engine,
                                 const std::function<void(const LoadProgress&)>& on_progress);

}  // namespace troupe::actors
