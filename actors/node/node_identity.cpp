// Hashes, ranges and checks of a process' settings.
#include "actors/node/node_identity.hpp"

#include <cstring>
#include <random>

#include "actors/role_settings.hpp"
#include "core/sha256.hpp"

namespace troupe::actors {

std::uint64_t cluster_id_of(std::string_view name) {
  const auto digest = Sha256().add("troupe cluster ").add(name).digest();
  std::uint64_t id = 0;
  for (int i = 7; i >= 0; --i) id = (id << 8) | digest[static_cast<std::size_t>(i)];
  return id;
}

std::array<std::byte, proto::kJoinTokenBytes> join_token_of(std::string_view text) {
  const auto digest = Sha256().add("troupe join ").add(text).digest();
  static_assert(sizeof digest == proto::kJoinTokenBytes);
  std::array<std::byte, proto::kJoinTokenBytes> token;
  std::memcpy(token.data(), digest.data(), token.size());
  return token;
}

bool hosts_director(const NodeSettings& settings) {
  return settings.role == proto::Role::router || settings.colocated_router;
}

std::vector<PeerId> members_of(const NodeSettings& settings) {
  std::vector<PeerId> members{peer_id(settings.role, settings.index)};
  if (settings.colocated_router) members.push_back(peer_id(proto::Role::router, settings.index));
  return members;
}

Expected<void> check_node(const NodeSettings& settings, const model::ModelConfig& config) {
  const auto refuse = [](std::string what) {
    return unexpected(Errc::invalid_argument, std::move(what));
  };
  const auto ranks = settings.expert_ranks;
  if (ranks < 1 || ranks > static_cast<std::uint64_t>(config.routed_experts))
    return refuse(std::to_string(ranks) + " expert ranks for " +
                  std::to_string(config.routed_experts) +
                  " experts; expert.ranks must be 1 to the number of experts");
  if (settings.role == proto::Role::expert && settings.index >= ranks)
    return refuse("expert rank " + std::to_string(settings.index) + " of " + std::to_string(ranks) +
                  "; ranks count from 0");
  if (settings.colocated_router && settings.role != proto::Role::attention)
    return refuse("only an attention process can host a colocated router");
  if (settings.routers.empty() || settings.routers_count != settings.routers.size())
    return refuse(std::to_string(settings.routers_count) + " routers are configured, but " +
                  std::to_string(settings.routers.size()) +
                  " control addresses; cluster.routers must list every router");
  if (hosts_director(settings) && settings.index >= settings.routers_count)
    return refuse("router " + std::to_string(settings.index) + " of " +
                  std::to_string(settings.routers_count) + "; routers count from 0");
  return check_engine(settings.engine);
}

model::ExpertModel::Range held_experts(const NodeSettings& settings,
                                       const model::ModelConfig& config) {
  if (settings.role != proto::Role::expert) return {};
  return model::ExpertModel::range_of(settings.index, settings.expert_ranks, config.routed_experts);
}

std::uint64_t random_id() {
  std::random_device source;
  return (std::uint64_t{source()} << 32) | source();
}

}  // namespace troupe::actors
