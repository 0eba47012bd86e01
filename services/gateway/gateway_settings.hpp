// From the configuration to the settings of the gateway's public ports.
#pragma once
#include "services/gateway/gateway_server.hpp"
#include "services/runtime/config/service_config.hpp"

namespace troupe::services {

/// Of one gRPC server at `listen`: the public one or the operators'.
GrpcSettings grpc_settings(const ServiceConfig& config, const Address& listen);
GatewayServerSettings gateway_server_settings(const ServiceConfig& config);

}  // namespace troupe::services
