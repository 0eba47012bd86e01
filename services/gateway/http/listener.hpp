// The public HTTP port's connections: accepted, watched while idle, served by threads.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "services/gateway/http/connection_stream.hpp"
#include "services/gateway/worker_threads.hpp"
#include "services/runtime/ports/listening_socket.hpp"

namespace troupe::services::http {

struct ListenerSettings {
  ConnectionLimits connection;
  std::size_t connections_max = 1024;  // beyond, the one that is idle longest is closed
  std::size_t requests_max = 512;      // at once, each on a thread; beyond: `busy_reply`
  std::chrono::milliseconds idle_time_max{75'000};  // of a connection between requests
  std::shared_ptr<const TlsContext> tls;            // null: plain
  std::function<std::string()> busy_reply;          // bytes of a whole reply; must not wait
};

/// One thread accepts and watches; requests have threads of their own. *Threading*: any.
class Listener {
 public:
  /// Serves one request. True: the connection may carry another one.
  using Serve = std::function<bool(ConnectionStream&)>;

  /// `socket` listens. `serve` is called from several threads at once.
  Listener(Descriptor socket, ListenerSettings settings, Serve serve);
  Listener(const Listener&) = delete;
  /// Gives requests under way `grace` to end, then hangs up on them.
  ~Listener();

  std::uint16_t port() const { return port_of(socket_); }
  /// Idle connections are closed, now and from now on; requests go on.
  void drain();
  std::size_t connections() const { return connections_; }

  static constexpr std::chrono::milliseconds kGrace{2000};

 private:
  using Clock = std::chrono::steady_clock;
  struct Idle {
    std::shared_ptr<ConnectionStream> stream;
    Clock::time_point until;
    bool fresh = false;  // no request came on it yet: in a drain it still gets its refusal
  };

  void watch();
  void accept_all();
  void admit(Accepted peer);
  void dispatch(std::shared_ptr<ConnectionStream> stream);
  void refuse(int socket) const;
  void serve(const std::shared_ptr<ConnectionStream>& stream);
  void give_back(std::shared_ptr<ConnectionStream> stream);
  void take_back();
  void close_idle(bool served, bool fresh);
  void close_one(std::map<int, Idle>::iterator one);
  void wake() const;

  const Descriptor socket_;
  const ListenerSettings settings_;
  const Serve serve_;
  Descriptor wakes_, poll_;
  std::atomic<bool> draining_{false}, stopping_{false};
  std::atomic<std::size_t> connections_{0};
  std::map<int, Idle> idle_;  // by descriptor; the watching thread's
  Clock::time_point accept_after_{};
  bool accepting_ = true;
  std::mutex mutex_;
  std::vector<std::shared_ptr<ConnectionStream>> back_;  // after a request, to be watched again
  std::set<ConnectionStream*> serving_;
  WorkerThreads workers_;
  std::thread watcher_;  // last: uses all of the above
};

}  // namespace troupe::services::http
