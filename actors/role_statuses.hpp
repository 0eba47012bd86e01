// What all roles of one process say of themselves at one time.
#pragma once
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "actors/attention/attention_role.hpp"
#include "actors/expert/expert_role.hpp"
#include "actors/gateway/gateway_role.hpp"
#include "actors/peers.hpp"
#include "actors/router/router_role.hpp"

namespace troupe::actors {

/// By index; absent: there is none, or it did not answer.
struct RoleStatuses {
  std::uint64_t epoch = 0;
  std::optional<GatewayStatus> gateway;
  std::vector<std::pair<std::uint32_t, AttentionStatus>> attention;
  std::vector<std::pair<std::uint32_t, RouterStatus>> routers;
  std::vector<std::pair<std::uint32_t, ExpertStatus>> experts;
  std::vector<LinkReport> links;
  std::vector<LinkEndings> link_endings;
};

}  // namespace troupe::actors
