// What the director knows and publishes: announced expert shards and the placement. No CAF here.
#pragma once
#include <cstdint>
#include <map>
#include <optional>

#include "actors/peer_id.hpp"
#include "actors/router/router_role.hpp"
#include "core/expected.hpp"
#include "model/expert_model.hpp"

namespace troupe::actors {

/// What an expert shard tells the director when it starts.
struct ShardAnnouncement {
  model::ShardIndex index = 0;
  std::uint64_t incarnation = 0;
  std::uint64_t numerics_id = 0;
  model::ExpertModel::Range experts;  // held, in every MoE layer
  bool wants_quantised_rows = false;
};

/// *Threading*: one owner.
class DirectorCore {
 public:
  /// `shards` expert shards are waited for before the first placement.
  DirectorCore(const model::ModelConfig& config, std::uint64_t numerics_id, int shards);

  /// The first placement (term 1, epoch 1), once, when the last expected shard has announced.
  /// *Errors*: `unsupported` for another numerics id; `invalid_argument` for an unknown index.
  Expected<PlacementPtr> announce(const ShardAnnouncement& shard);
  /// The next epoch of this term. Its term and epoch numbers are set here.
  /// *Errors*: `invalid_argument` when its shape is not the model's, an expert has no replica, or
  /// a replica does not hold it; `unavailable` before the first placement.
  Expected<PlacementPtr> publish(model::Placement next);
  const PlacementPtr& current() const { return current_; }

 private:
  Expected<void> check(const model::Placement& placement) const;
  PlacementPtr make(model::Placement placement);

  model::ModelConfig config_;
  std::uint64_t numerics_id_;
  int shards_;
  std::map<model::ShardIndex, ShardAnnouncement> announced_;
  PlacementPtr current_;
};

}  // namespace troupe::actors
