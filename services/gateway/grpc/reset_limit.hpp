// How many of its calls a client may take back at once: gRPC's library has no limit. No gRPC here.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>

#include "services/runtime/ports/listening_socket.hpp"

namespace troupe::services {

/// Counts the calls of one connection. HTTP/2 limits the streams that are open: one that is reset
/// counts no more, while the library still keeps 24 KB for it until its turn has come.
/// *Threading*: one at a time.
class ResetCounts {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr int kCalls = 256;      // that are judged together
  static constexpr int kResetsMax = 192;  // of these, soon after their beginning
  /// Calls that take longer to end are no flood: an editor's, say, that asks anew at each key, and
  /// many of them behind one proxy.
  static constexpr std::chrono::seconds kFlood{4};

  /// One more call is over. False: too many were taken back.
  bool add(bool reset_at_once, TimePoint now) {
    if (calls_ == 0) since_ = now;
    resets_ += reset_at_once ? 1 : 0;
    if (++calls_ < kCalls) return true;
    const bool fine = resets_ <= kResetsMax || now - since_ >= kFlood;
    calls_ = resets_ = 0;
    return fine;
  }

 private:
  int calls_ = 0;
  int resets_ = 0;
  TimePoint since_;
};

/// Ends connections that reset too many calls. It knows sockets by number, without owning them.
/// *Threading*: any.
class ResetLimit {
 public:
  /// Called after a connection was ended, from the thread that said so.
  using OnEnded = std::function<void(const Address& peer)>;
  explicit ResetLimit(OnEnded on_ended = {}) : on_ended_(std::move(on_ended)) {}

  /// A connection that its owner is about to get.
  void watch(int socket, const Address& peer);
  /// A call of that client (as ServerContext::peer() names it) is over.
  void call_over(const std::string& peer, bool reset_at_once, ResetCounts::TimePoint now);

 private:
  struct Connection {
    Address peer;
    std::string name;
    ResetCounts counts;
  };

  const OnEnded on_ended_;
  std::mutex mutex_;
  std::map<int, Connection> connections_;  // by descriptor, until the next one of that number
  std::unordered_map<std::string, int> sockets_;  // by name
};

/// What gRPC calls a client at `peer`: "ipv4:10.0.0.1:443", "ipv6:%5B::1%5D:443".
std::string grpc_name_of(const Address& peer);

}  // namespace troupe::services
