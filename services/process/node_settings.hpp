// From a service's configuration to the settings of its node.
#pragma once
#include <string>

#include "actors/node/cluster_node.hpp"
#include "core/expected.hpp"
#include "services/runtime/config/service_config.hpp"

namespace troupe::services {

proto::Role role_of(ServiceRole role);
/// Index or rank of the service among those of its role.
std::int64_t index_of(const ServiceConfig& config, ServiceRole role);

/// Reads the join token's file and the environment (UCX_*). Not `engine.mode`, which may wait for
/// the weights: model::decide_activation_mode. *Errors*: `not_found` when the file
/// cannot be read or is empty; `invalid_argument`, `unsupported_cpu` for engine.level.
Expected<actors::NodeSettings> node_settings(const ServiceConfig& config, ServiceRole role);

/// The text in `file` without the white space at its end; empty for an empty name.
/// *Errors*: `not_found`, `invalid_argument` (nothing in it, longer than 64 KiB).
Expected<std::string> read_join_token(const std::string& file);

}  // namespace troupe::services
