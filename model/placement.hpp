// Which expert shard holds which expert: an immutable map with the term and epoch it is valid for.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "model/router_model.hpp"

namespace troupe::model {

using ShardIndex = std::int32_t;

/// Immutable; a new epoch replaces it whole. Dense layers have no entries.
struct Placement {
  std::uint64_t term = 1;
  std::uint64_t epoch = 1;
  std::int64_t experts = 0;
  /// Replicas of expert e in layer l: replicas[l * experts + e], each list ascending.
  std::vector<std::vector<ShardIndex>> replicas;

  std::span<const ShardIndex> of(std::int64_t layer, std::int64_t expert) const {
    return replicas[static_cast<std::size_t>(layer * experts + expert)];
  }
};

/// Expert e of E on shard floor(e * shards / E), in every layer.
Placement static_placement(std::int64_t layers, std::int64_t experts, std::int64_t shards);

/// What one expert shard gets of a batch.
struct ShardDispatch {
  ShardIndex shard = 0;
  std::vector<std::int32_t>
      rows;  // unique batch rows, ascending; position = row index in the frame
  struct Pair {
    std::int32_t row = 0;  // index into `rows`
    std::int32_t expert = 0;
    std::int32_t slot = 0;  // batch_row * K + k: where the reply belongs
  };
  std::vector<Pair> pairs;  // ascending by (expert, row)
};

/// Groups the (row, expert) pairs of a routing by shard; replicas are chosen by fewest
/// `outstanding_rows` (indexed by shard), ties by id. `rows_max` bounds the unique rows of one
/// dispatch; more rows make several dispatches to the same shard. Experts without a live replica
/// come as a dispatch to shard -1.
std::vector<ShardDispatch> plan_dispatch(const Routing& routing, std::int64_t experts_per_token,
                                         const Placement& placement, std::int64_t layer,
                                         std::span<const std::int64_t> outstanding_rows,
                                         std::int64_t rows_max);

}  // namespace troupe::model
