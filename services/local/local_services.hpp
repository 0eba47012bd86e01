// The services of a cluster on this machine: which processes, with which flags.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/expected.hpp"
#include "services/local/child_processes.hpp"
#include "services/runtime/ports/listening_socket.hpp"

namespace troupe::services {

/// What `troupe up` and `troupe eval logits --layout processes:...` ask for.
struct LocalPlan {
  std::string model;  // directory; empty: the bundled one
  int experts = 1;
  int attention = 1;
  int routers = 1;  // as many as attention shards when colocated
  bool colocated = false;
  /// Compute threads at work at the same time; 0: the cores. Services of one role work together and
  /// share them, the roles take turns. Not used when `settings` has engine.threads.
  int threads = 0;
  std::string cluster_name;
  std::string join_token_file;
  std::vector<std::uint16_t> control_ports;  // one for each router
  /// Keep those ports for the routers and, under `up`, the gateway's for it, also while one of them
  /// is started again.
  std::vector<Descriptor> held_ports;
  /// Further configuration keys, e.g. {"engine.mode", "f32"}, for the services that use them.
  std::vector<std::pair<std::string, std::string>> settings;
  /// The gateway's own keys; none: no gateway process.
  std::vector<std::pair<std::string, std::string>> gateway;
};

/// A plan with a name, a token and control ports of its own.
/// *Errors*: `resource_exhausted` when the system has no more memory files, `unavailable` when it
/// has no more ports.
Expected<LocalPlan> with_identity(LocalPlan plan);

/// "127.0.0.1:40001,127.0.0.1:40002": the control ports of the plan's routers.
std::string router_list(const LocalPlan& plan);
/// Routers first: everybody else looks for them.
std::vector<ChildSpec> local_services(const LocalPlan& plan);

}  // namespace troupe::services
