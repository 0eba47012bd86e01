// The control port of a router process: lets a connection through once it has proved itself.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "actors/control/door_places.hpp"
#include "actors/control/join_handshake.hpp"
#include "actors/control/socket.hpp"
#include "actors/endpoint.hpp"
#include "actors/node_event.hpp"
#include "core/door_log.hpp"
#include "core/expected.hpp"

namespace troupe::actors {

/// One of the connections that may be open behind the door; ends with its owner.
class Seat {
 public:
  explicit Seat(std::shared_ptr<std::atomic<std::size_t>> taken) : taken_(std::move(taken)) {
    ++*taken_;
  }
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;
  ~Seat() { --*taken_; }

 private:
  std::shared_ptr<std::atomic<std::size_t>> taken_;
};

/// A connection whose other end knows the join token; the next byte is the control plane's.
struct ProvedConnection {
  Socket socket;
  std::string address;         // host:port of the other end
  std::shared_ptr<Seat> seat;  // null on the side that has connected
};

struct DoorSettings {
  Endpoint listen;  // port 0: any
  JoinIdentity own;
  DoorLimits limits;
};

struct DoorHooks {
  /// From its thread; must not block.
  std::function<void(ProvedConnection)> on_proved;
  EventSink on_event;
};

/// One thread, asleep while nobody comes. Reads no byte past the preamble and never waits for a
/// visitor. What it does when
///  - a visitor says nothing, too little or something else: closes it, at once or after the budget.
///  - too many visitors wait: see DoorPlaces.
///  - too many connections are open: refuses those that prove themselves, which try again.
///  - descriptors run out: leaves newcomers to the system's queue for a second.
/// *Threading*: any.
class Doorkeeper {
 public:
  /// *Errors*: `unavailable`: the address cannot be listened on.
  static Expected<std::unique_ptr<Doorkeeper>> open(DoorSettings settings, DoorHooks hooks);
  virtual ~Doorkeeper() = default;  // joins the thread

  virtual std::uint16_t port() const = 0;
};

}  // namespace troupe::actors
