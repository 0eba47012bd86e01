// The director actor of a router process.
#include "actors/director/spawn_director.hpp"

namespace troupe::actors {

void register_control_messages(caf::actor_system_config& config) {
  config.add_message_types<caf::id_block::troupe_actors>();
}

}  // namespace troupe::actors
