// Static placement and the grouping of a routing by destination shard.
#include "model/placement.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace troupe::model {

Placement static_placement(std::int64_t layers, std::int64_t experts, std::int64_t shards) {
  Placement placement;
  placement.experts = experts;
  placement.replicas.resize(static_cast<std::size_t>(layers * experts));
  for (std::int64_t layer = 0; layer < layers; ++layer)
    for (std::int64_t e = 0; e < experts; ++e)
      placement.replicas[static_cast<std::size_t>(layer * experts + e)] = {
          static_cast<ShardIndex>(e * shards / experts)};
  return placement;
}

namespace {

// The replica with the fewest outstanding rows, ties by id; -1 when the expert is uncovered.
ShardIndex choose_replica(std::span<const ShardIndex> replicas,
                          std::span<const std::int64_t> outstanding) {
  ShardIndex best = -1;
  for (const ShardIndex shard : replicas)
    if (best < 0 ||
        outstanding[static_cast<std::size_t>(shard)] < outstanding[static_cast<std::size_t>(best)])
      best = shard;
  return best;
}

void sort_pairs(ShardDispatch& dispatch) {
  std::sort(dispatch.pairs.begin(), dispatch.pairs.end(), [](const auto& a, const auto& b) {
    return a.expert != b.expert ? a.expert < b.expert : a.row < b.row;
  });
}

}  // namespace

std::vector<ShardDispatch> plan_dispatch(const Routing& routing, std::int64_t experts_per_token,
                                         const Placement& placement, std::int64_t layer,
                                         std::span<const std::int64_t> outstanding_rows,
                                         std::int64_t rows_max) {
  const auto k = experts_per_token;
  const auto rows = static_cast<std::int64_t>(routing.experts.size()) / k;
  // One replica for all rows of an expert: its weights are then streamed once.
  std::map<std::int32_t, ShardIndex> chosen;
  std::map<ShardIndex, std::vector<ShardDispatch>> by_shard;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < k; ++i) {
      const std::int64_t slot = row * k + i;
      const std::int32_t expert = routing.experts[static_cast<std::size_t>(slot)];
      auto [entry, fresh] = chosen.try_emplace(expert, -1);
      if (fresh) entry->second = choose_replica(placement.of(layer, expert), outstanding_rows);
      auto& list = by_shard[entry->second];
      const bool row_is_last =
          !list.empty() && list.back().rows.back() == static_cast<std::int32_t>(row);
      if (list.empty() ||
          (!row_is_last && static_cast<std::int64_t>(list.back().rows.size()) >= rows_max))
        list.push_back({entry->second, {}, {}});
      ShardDispatch& dispatch = list.back();
      if (dispatch.rows.empty() || dispatch.rows.back() != static_cast<std::int32_t>(row))
        dispatch.rows.push_back(static_cast<std::int32_t>(row));
      dispatch.pairs.push_back({static_cast<std::int32_t>(dispatch.rows.size() - 1), expert,
                                static_cast<std::int32_t>(slot)});
    }
  }
  std::vector<ShardDispatch> plan;
  for (auto& [shard, list] : by_shard)
    for (auto& dispatch : list) {
      sort_pairs(dispatch);
      plan.push_back(std::move(dispatch));
    }
  return plan;
}

}  // namespace troupe::model
