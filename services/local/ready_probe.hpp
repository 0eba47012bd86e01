// Whether a service says on its ops port that it is ready.
#pragma once
#include <cstdint>

namespace troupe::services {

/// Asks `/readyz` on the loopback interface; false also when nobody answers within a second.
bool is_ready(std::uint16_t ops_port);

}  // namespace troupe::services
