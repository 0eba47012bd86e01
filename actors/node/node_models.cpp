// Loads what the roles of one process need of the checkpoint.
#include "actors/node/node_models.hpp"

#include <chrono>
#include <future>
#include <utility>

#include "actors/node/node_identity.hpp"

namespace troupe::actors {
namespace {

constexpr std::chrono::milliseconds kLook{50};

template <class Model>
Expected<void> keep(Expected<Model> loaded, std::shared_ptr<const Model>& place) {
  if (!loaded) return unexpected(loaded.error());
  place = std::make_shared<const Model>(std::move(*loaded));
  return {};
}

Expected<NodeModels> load_all(const model::Checkpoint& checkpoint, const NodeSettings& settings,
                              model::Numerics numerics, const kernels::Engine& engine,
                              model::LoadProgress& progress) {
  NodeModels models;
  Expected<void> kept;
  if (settings.role == proto::Role::attention)
    kept = keep(model::AttentionModel::load(checkpoint, numerics, engine, &progress),
                models.attention);
  if (settings.role == proto::Role::expert)
    kept = keep(model::ExpertModel::load(checkpoint, numerics, engine,
                                         held_experts(settings, checkpoint.config()), &progress),
                models.expert);
  if (kept && hosts_director(settings))
    kept = keep(model::RouterModel::load(checkpoint, numerics, engine, &progress), models.router);
  if (!kept) return unexpected(kept.error());
  return models;
}

}  // namespace

Expected<NodeModels> load_models(const model::Checkpoint& checkpoint, const NodeSettings& settings,
                                 model::Numerics numerics, const kernels::Engine& engine,
                                 const std::function<void(const LoadProgress&)>& on_progress) {
  model::LoadProgress progress;
  auto loading = std::async(std::launch::async, [&] {
    return load_all(checkpoint, settings, numerics, engine, progress);
  });
  std::uint64_t told = 0;
  while (loading.wait_for(kLook) != std::future_status::ready) {
    const auto now = progress.snapshot();
    if (now.bytes_done == std::exchange(told, now.bytes_done)) continue;
    on_progress(now);
  }
  on_progress(progress.snapshot());
  return loading.get();
}

}  // namespace troupe::actors
