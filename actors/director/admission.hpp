// Whether an announcement fits this cluster: everything that needs no knowledge of other members.
#pragma once
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "actors/membership.hpp"
#include "proto/frames/codec.hpp"

namespace troupe::actors {

struct DirectorSettings {
  std::uint32_t router_index = 0;   // of the process this director lives in
  std::uint32_t routers_count = 1;  // configured ones
  std::uint32_t expert_ranks = 1;   // configured expert shards
  proto::VersionRange versions{proto::kProtocolVersionOldest, proto::kProtocolVersion};
  std::array<std::byte, proto::kJoinTokenBytes> join_token{};
  std::uint64_t cluster_id = 0;
  std::uint64_t numerics_id = 0;
  std::chrono::milliseconds lost_after{3000};  // 0: silence is not watched (one process)
  std::chrono::milliseconds forget_after{60000};
  std::size_t members_max = 1024;  // at most kMembersMax
};

struct AdmissionFault {
  Refusal refusal = Refusal::none;
  Error error{Errc::ok, {}};
};

/// Why the announcer cannot be let in, with both values and the next step; `none` when it can.
/// The join token is compared first and in constant time; with a wrong one nothing else is said.
/// `experts` is the model's number of routed experts.
AdmissionFault check_admission(const DirectorSettings& settings, std::int64_t experts,
                               const Announcement& announcement);

}  // namespace troupe::actors
