// Announcements and beats of a small cluster, as directors are told them in tests.
#pragma once
#include <string>

#include "actors/director/director_core.hpp"

namespace troupe::actors::testing {

inline constexpr std::uint64_t kCluster = 0xc1;
inline constexpr std::uint64_t kNumerics = 0x77;

/// Two MoE layers after a dense one, eight experts.
inline model::ModelConfig small_config() {
  model::ModelConfig config;
  config.num_layers = 3;
  config.first_k_dense = 1;
  config.routed_experts = 8;
  return config;
}

inline std::array<std::byte, proto::kJoinTokenBytes> test_token() {
  std::array<std::byte, proto::kJoinTokenBytes> token{};
  token.fill(std::byte{0x5a});
  return token;
}

inline DirectorSettings director_settings(std::uint32_t ranks, std::uint32_t routers = 1,
                                          std::uint32_t router_index = 0) {
  DirectorSettings settings;
  settings.router_index = router_index;
  settings.routers_count = routers;
  settings.expert_ranks = ranks;
  settings.join_token = test_token();
  settings.cluster_id = kCluster;
  settings.numerics_id = kNumerics;
  return settings;
}

/// Of a member that may be let in; `life` is its incarnation and its process.
inline Announcement announcement(proto::Role role, std::uint32_t index, std::uint64_t life,
                                 std::uint32_t ranks) {
  Announcement says;
  says.join_token = test_token();
  says.cluster_id = kCluster;
  says.numerics_id = kNumerics;
  says.peer = peer_id(role, index);
  says.incarnation = life;
  says.process = life;
  says.state = MemberState::active;
  says.expert_ranks = ranks;
  if (role == proto::Role::expert && index < ranks)
    says.experts = model::ExpertModel::range_of(index, ranks, small_config().routed_experts);
  says.host = "host" + std::to_string(life);
  says.pid = static_cast<std::int64_t>(life);
  says.version = "1.0";
  return says;
}

inline Beat beat_of(const Announcement& says) {
  Beat beat;
  beat.peer = says.peer;
  beat.incarnation = says.incarnation;
  beat.state = says.state;
  beat.unlinked = says.unlinked;
  return beat;
}

}  // namespace troupe::actors::testing
