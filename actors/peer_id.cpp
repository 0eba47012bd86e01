// Roles and indices in words.
#include "actors/peer_id.hpp"

namespace troupe::actors {

std::string name_of(PeerId peer) {
  return std::string(proto::to_string(role_of(peer))) + " " + std::to_string(index_of(peer));
}

}  // namespace troupe::actors
