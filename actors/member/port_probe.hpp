// Whether anybody listens at an address: asked before CAF connects, because that has no time limit.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "actors/endpoint.hpp"
#include "core/expected.hpp"

namespace troupe::actors {

/// Connects and closes. Blocks for `budget` at most (name resolution aside), less once `stop` is
/// set. *Errors*: `unavailable`, with the address and the reason.
Expected<void> probe_port(const Endpoint& endpoint, std::chrono::milliseconds budget,
                          const std::atomic<bool>& stop);

}  // namespace troupe::actors
