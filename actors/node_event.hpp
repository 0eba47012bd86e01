// Something an operator wants to read, told once when it happens.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace troupe::actors {

struct NodeEvent {
  enum class Severity : std::uint8_t { info, warning, error } severity = Severity::info;
  std::string name;    // stable, snake_case: "link_joined", "member_refused", "evicted", ...
  std::string detail;  // "peer=expert 2 lanes=posix,cma"
};
/// Called from any thread; must not block. Empty: nobody listens.
using EventSink = std::function<void(const NodeEvent&)>;

}  // namespace troupe::actors
