// One connection of the ops port: what has come, what has to go, until when.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "services/runtime/ops/http_request.hpp"
#include "services/runtime/ops/listening_socket.hpp"

namespace troupe::services {

/// *Threading*: one thread; never blocks.
class OpsConnection {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// `socket` is non-blocking.
  OpsConnection(Descriptor socket, TimePoint deadline)
      : socket_(std::move(socket)), deadline_(deadline) {}

  int fd() const { return socket_.get(); }
  TimePoint deadline() const { return deadline_; }
  /// What poll(2) has to wait for; 0: for nothing, the answer is being collected.
  short wanted() const;

  /// Reads what is there. True: a request, or what will never be one, is complete.
  bool read();
  /// The bytes that have come.
  const std::string& request() const { return in_; }
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
  TimePoint deadline_;
  std::string in_;
  std::string out_;
  std::size_t sent_ = 0;
  bool ended_ = false;
};

}  // namespace troupe::services
