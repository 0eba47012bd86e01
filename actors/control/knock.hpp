// The connecting side of a control port: a TCP connection that has proved itself, or why not.
#pragma once
#include <atomic>
#include <chrono>

#include "actors/control/join_handshake.hpp"
#include "actors/control/socket.hpp"
#include "actors/endpoint.hpp"

namespace troupe::actors {

struct KnockBudgets {
  std::chrono::milliseconds connect{2000};   // for each address of the host
  std::chrono::milliseconds preamble{3000};  // a router that is not frozen needs one round trip
};

struct KnockOutcome {
  Socket socket;    // none: see fault
  JoinFault fault;  // names the address and what to do
};

/// Connects to `router` and goes through the preamble as member `who`. Never hangs, whatever
/// listens there. Gives up early once `stop` is set.
/// *Threading*: blocks, at most for the budgets and for as long as resolving a host takes.
KnockOutcome knock(const Endpoint& router, const JoinIdentity& own, PeerId who,
                   const std::atomic<bool>& stop, KnockBudgets budgets = {});

}  // namespace troupe::actors
