// Announcements, the first placement and later epochs.
#include "actors/director/director_core.hpp"

#include <algorithm>
#include <string>

namespace troupe::actors {

DirectorCore::DirectorCore(const model::ModelConfig& config, std::uint64_t numerics_id, int shards)
    : config_(config), numerics_id_(numerics_id), shards_(shards) {}

Expected<PlacementPtr> DirectorCore::announce(const ShardAnnouncement& shard) {
  if (shard.numerics_id != numerics_id_)
    return unexpected(Errc::unsupported,
                      "expert shard " + std::to_string(shard.index) + " has numerics id " +
                          std::to_string(shard.numerics_id) + ", this cluster " +
                          std::to_string(numerics_id_) + "; start it with the same model and mode");
  if (shard.index < 0 || shard.index >= shards_)
    return unexpected(Errc::invalid_argument, "expert shard " + std::to_string(shard.index) +
                                                  " of a cluster of " + std::to_string(shards_));
  announced_[shard.index] = shard;
  if (current_ || static_cast<int>(announced_.size()) < shards_) return PlacementPtr{};
  auto placement = model::static_placement(config_.num_layers, config_.routed_experts, shards_);
  if (auto fine = check(placement); !fine) return unexpected(fine.error());
  return make(std::move(placement));
}

Expected<PlacementPtr> DirectorCore::publish(model::Placement next) {
  if (!current_)
    return unexpected(Errc::unavailable, "not all expert shards have announced themselves yet");
  if (auto fine = check(next); !fine) return unexpected(fine.error());
  next.term = current_->placement.term;
  next.epoch = current_->placement.epoch + 1;
  return make(std::move(next));
}

PlacementPtr DirectorCore::make(model::Placement placement) {
  const bool quantised = std::all_of(announced_.begin(), announced_.end(), [](const auto& entry) {
    return entry.second.wants_quantised_rows;
  });
  current_ =
      std::make_shared<PublishedPlacement>(PublishedPlacement{std::move(placement), quantised});
  return current_;
}

Expected<void> DirectorCore::check(const model::Placement& placement) const {
  const std::int64_t experts = config_.routed_experts;
  if (placement.experts != experts ||
      placement.replicas.size() != static_cast<std::size_t>(config_.num_layers * experts))
    return unexpected(Errc::invalid_argument, "the placement is not one of this model's shape");
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    if (!config_.is_moe(layer)) continue;
    for (std::int64_t expert = 0; expert < experts; ++expert) {
      const auto replicas = placement.of(layer, expert);
      const auto holds = [&](model::ShardIndex shard) {
        const auto found = announced_.find(shard);
        return found != announced_.end() && found->second.experts.first <= expert &&
               expert < found->second.experts.last;
      };
      if (replicas.empty() || !std::all_of(replicas.begin(), replicas.end(), holds))
        return unexpected(Errc::invalid_argument,
                          "layer " + std::to_string(layer) + ", expert " + std::to_string(expert) +
                              ": no replica, or one on a shard that does not hold it");
    }
  }
  return {};
}

}  // namespace troupe::actors
