// One connection of the ops port: what has come, what has to go, until when.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "services/runtime/ops/http_request.hpp"
#include "services/runtime/ports/listening_socket.hpp"

namespace troupe::services {

/// *Threading*: one thread; never blocks.
class OpsConnection {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  OpsConnection(Accepted accepted, TimePoint deadline)
      : socket_(std::move(accepted.socket)), peer_(std::move(accepted.peer)), deadline_(deadline) {}

  int fd() const { return socket_.get(); }
  const Address& peer() const { return peer_; }
  TimePoint deadline() const { return deadline_; }
  /// What poll(2) has to wait for; 0: for nothing, the answer is being collected.
  short wanted() const;

  /// Reads what is there. True: a request, or what will never be one, is complete.
  bool read();
  /// The bytes that have come; of a request that is too long, the first.
  const std::string& request() const { return in_; }
  bool too_long() const { return too_long_; }
  /// Some of a request has come, and it was never answered.
  bool unfinished() const { return !in_.empty() && out_.empty() && !collecting; }
  void answer(const HttpAnswer& answer, bool with_body);
  /// Sends what goes.
  void write();
  /// Nothing is left to be done: answered, or the peer has gone.
  bool ended() const { return ended_; }

  /// A request for metrics that is being collected: its number there, and its patience.
  struct Collecting {
    std::uint64_t number = 0;
    TimePoint until;
    bool with_body = true;
  };
  std::optional<Collecting> collecting;

 private:
  void end();

  Descriptor socket_;
  Address peer_;
  TimePoint deadline_;
  std::string in_;
  std::string out_;
  std::size_t sent_ = 0;
  bool too_long_ = false;
  bool ended_ = false;
};

}  // namespace troupe::services
