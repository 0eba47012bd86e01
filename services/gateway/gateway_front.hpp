// The gRPC ports of a gateway process, as the service that runs it sees them.
#pragma once
#include "services/process/service_front.hpp"

namespace troupe::services {

/// How a gateway opens its model (tokenizer and chat template included) and its ports.
ServiceParts gateway_parts();

}  // namespace troupe::services
