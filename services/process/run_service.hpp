// The life of a service process, from its configuration to its exit code.
#pragma once
#include "services/process/service_front.hpp"
#include "services/runtime/config/config_load.hpp"

namespace troupe::services {

struct ServiceOrder {
  ServiceRole role = ServiceRole::gateway;
  ServiceConfig config;  // checked
  bool exit_with_parent = false;
  ServiceParts parts;
};

/// Opens the ops port, loads the model, joins the cluster, serves until SIGTERM or SIGINT, drains
/// within drain.timeout_s and returns 0. A second signal ends it at once (130 or 143); an error is
/// reported and its exit code returned.
/// *Threading*: the main thread, before others start.
int run_service(const ServiceOrder& order);

}  // namespace troupe::services
