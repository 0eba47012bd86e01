// Loads what the roles of one process need of the checkpoint.
#include "actors/node/node_models.hpp"

#include "actors/node/node_identity.hpp"

namespace troupe::actors {
namespace {

template <class Model>
Expected<void> keep(Expected<Model> loaded, std::shared_ptr<const Model>& place) {
  if (!loaded) return unexpected(loaded.error());
  place = std::make_shared<const Model>(std::move(*loaded));
  return {};
}

}  // namespace

Expected<NodeModels> load_models(const model::Checkpoint& checkpoint, const NodeSettings& settings,
                                 model::Numerics numerics, const kernels::Engine& engine) {
  NodeModels models;
  Expected<void> kept;
  if (settings.role == proto::Role::attention)
    kept = keep(model::AttentionModel::load(checkpoint, numerics, engine), models.attention);
  if (settings.role == proto::Role::expert)
    kept = keep(model::ExpertModel::load(checkpoint, numerics, engine,
                                         held_experts(settings, checkpoint.config())),
                models.expert);
  if (kept && hosts_director(settings))
    kept = keep(model::RouterModel::load(checkpoint, numerics, engine), models.router);
  if (!kept) return unexpected(kept.error());
  return models;
}

}  // namespace troupe::actors
