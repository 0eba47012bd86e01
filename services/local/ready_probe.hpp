// Whether a service says on its ops port that it is ready.
#pragma once
#include "services/runtime/config/service_config.hpp"

namespace troupe::services {

/// Asks `/readyz`; false also when nobody answers within a second.
bool is_ready(const Address& ops);

}  // namespace troupe::services
