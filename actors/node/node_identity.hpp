// What a process says it is, from its settings: ids, hashed token, the range of its rank.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "actors/node/cluster_node.hpp"

namespace troupe::actors {

/// First eight bytes, little-endian, of SHA-256("troupe cluster " + name).
std::uint64_t cluster_id_of(std::string_view name);
/// SHA-256("troupe join " + text).
std::array<std::byte, proto::kJoinTokenBytes> join_token_of(std::string_view text);

/// *Errors*: `invalid_argument`: an expert rank past the number of ranks, more ranks than experts,
/// a router past the configured ones, no routers, engine settings out of range.
Expected<void> check_node(const NodeSettings& settings, const model::ModelConfig& config);

/// The members of such a process: its role, and a colocated router.
std::vector<PeerId> members_of(const NodeSettings& settings);
bool hosts_director(const NodeSettings& settings);

/// What an expert process of that rank holds; empty for the other roles.
model::ExpertModel::Range held_experts(const NodeSettings& settings,
                                       const model::ModelConfig& config);

std::uint64_t random_id();

}  // namespace troupe::actors
