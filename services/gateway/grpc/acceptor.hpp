// Accepts connections for gRPC, which would not say who comes by mistake. No gRPC in here.
#pragma once
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "actors/control/door_places.hpp"
#include "services/runtime/ports/listening_socket.hpp"
#include "services/runtime/ports/stranger_log.hpp"

namespace troupe::services {

struct AcceptorSettings {
  std::string_view port_name;  // in the log
  bool tls = false;            // what begins a connection
  /// Those that have not said enough yet: how many, and for how long.
  actors::DoorLimits undecided{.waiting_max = 256, .budget = std::chrono::seconds(20)};
  StrangerSink on_stranger;
};

/// One thread, asleep while nobody comes. Looks at the first bytes of each connection without
/// taking them, and hands it on or answers and closes it. A connection that says nothing keeps its
/// place as long as DoorPlaces lets it. Without descriptors newcomers wait in the system's queue
/// for a while.
class Acceptor {
 public:
  /// Gets connections that begin as gRPC's do. From the acceptor's thread; must not block.
  using HandOn = std::function<void(Descriptor)>;

  Acceptor(std::vector<Descriptor> listeners, AcceptorSettings settings, HandOn hand_on);
  Acceptor(const Acceptor&) = delete;
  /// Closes the port and what is undecided. Nothing is handed on afterwards.
  ~Acceptor();

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace troupe::services
