// A cluster's report as a table for people and as JSON for programs.
#pragma once
#include <string>

#include "actors/membership.hpp"

namespace troupe::services {

/// One line about the cluster, then one per member, columns aligned.
std::string cluster_table(const actors::ClusterReport& report);
/// One JSON object with the members of GetClusterStatusResponse, in snake_case.
std::string cluster_json(const actors::ClusterReport& report);

/// Requests can be served, and every member is active.
bool healthy(const actors::ClusterReport& report);

}  // namespace troupe::services
