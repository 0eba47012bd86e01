// Names of a role's peers: role and index in one number, as the links and ledgers key them.
#pragma once
#include <cstdint>
#include <string>

#include "proto/frames/bodies.hpp"
#include "transport/data_port.hpp"

namespace troupe::actors {

using transport::PeerId;

inline constexpr PeerId peer_id(proto::Role role, std::uint32_t index) {
  return (static_cast<PeerId>(role) << 32) | index;
}
inline constexpr proto::Role role_of(PeerId peer) { return static_cast<proto::Role>(peer >> 32); }
inline constexpr std::uint32_t index_of(PeerId peer) { return static_cast<std::uint32_t>(peer); }
/// "expert 3", as errors and logs name it.
std::string name_of(PeerId peer);

}  // namespace troupe::actors
