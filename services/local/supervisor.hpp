// Keeps the services of a local cluster running: starts, restarts with back-off, stops in order.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "services/local/child_processes.hpp"

namespace troupe::services {

/// How long to wait before a service that ended is started again. Doubles while it keeps ending
/// young, begins anew once it has lived for `kSettled`.
class RestartDelays {
 public:
  static constexpr std::chrono::milliseconds kFirst{100};
  static constexpr std::chrono::milliseconds kLast{5000};
  static constexpr std::chrono::seconds kSettled{10};

  std::chrono::milliseconds next(const std::string& name,
                                 std::chrono::steady_clock::duration lived);

 private:
  std::map<std::string, std::chrono::milliseconds> delays_;
};

/// What became of the whole.
struct SupervisorEnd {
  int signal = 0;  // that asked us to stop; 0: a service could not be started
  ChildSpec failed;
  int code = 0;  // of the failed service
};

/// *Threading*: one thread.
class Supervisor {
 public:
  struct Hooks {
    std::function<bool()> ready;                  // asked until it is true
    std::function<void()> on_ready;               // once
    std::function<void(const std::string&)> say;  // one line about a service
  };
  Supervisor(std::vector<ChildSpec> services, Hooks hooks,
             const std::string& program = ChildProcesses::kThisProgram)
      : services_(std::move(services)), hooks_(std::move(hooks)), children_(program) {}

  /// Runs until SIGINT or SIGTERM (which must be blocked; they are read from `signal_fd`), or until
  /// a service ends with an error of its configuration, model or machine before the cluster was
  /// ready once. All services have ended when it returns: gateways first, within `drain`; a second
  /// signal kills them.
  SupervisorEnd run(int signal_fd, std::chrono::milliseconds drain);

 private:
  using Clock = std::chrono::steady_clock;
  std::optional<SupervisorEnd> start_due();
  std::optional<SupervisorEnd> look_after(const ChildExit& ended);
  std::chrono::milliseconds until_next() const;
  void stop(int signal_fd, std::chrono::milliseconds drain);

  std::vector<ChildSpec> services_;
  Hooks hooks_;
  ChildProcesses children_;
  RestartDelays delays_;
  std::vector<std::pair<Clock::time_point, ChildSpec>> due_;
  bool was_ready_ = false;
};

}  // namespace troupe::services
