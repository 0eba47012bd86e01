// The settings of each role from those of a whole cluster: one meaning of each in every layout.
#pragma once
#include "actors/attention/attention_role.hpp"
#include "actors/expert/expert_role.hpp"
#include "actors/gateway/gateway_role.hpp"
#include "actors/local_cluster.hpp"
#include "actors/router/router_role.hpp"

namespace troupe::actors {

/// Attempts of a request: the first and the replays.
inline constexpr std::uint32_t kAttemptsMax = 3;

/// *Errors*: `invalid_argument` for chunk, step_rows_max, frame_rows_max or credits out of range.
Expected<void> check_engine(const ClusterSettings& settings);
ExpertSettings expert_settings(model::Numerics numerics);
/// Rows of one frame: kRowsMax, or as many as have an answer of one frame, a row for each expert.
std::int64_t frame_rows_max(const model::ModelConfig& config, model::Numerics numerics);
RouterSettings router_settings(const ClusterSettings& settings, const model::ModelConfig& config);
AttentionSettings attention_settings(const ClusterSettings& settings,
                                     const model::Checkpoint& checkpoint);
/// `shards`: how many attention shards there may be at most.
GatewaySettings gateway_settings(const ClusterSettings& settings, int shards);

}  // namespace troupe::actors
