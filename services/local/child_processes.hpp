// Services of this program as child processes: started, watched, stopped, never left behind.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "core/expected.hpp"

namespace troupe::services {

/// One run of the program.
struct ChildSpec {
  std::string name;                    // "expert 0", for messages
  std::vector<std::string> arguments;  // without the program
};

/// A child that has ended.
struct ChildExit {
  ChildSpec spec;
  pid_t pid = 0;
  int code = 0;  // its exit code, or 128 + the signal that ended it
  std::chrono::steady_clock::duration lived{};
};

/// "exit code 4" or "signal 9".
std::string how_it_ended(const ChildExit& exit);

/// Children get a process group of their own, so that a Ctrl-C in the terminal reaches only us, and
/// the kernel kills them when the thread that started them ends, whatever ends it.
/// *Threading*: one thread, which must live as long as the children.
class ChildProcesses {
 public:
  static constexpr const char* kThisProgram = "/proc/self/exe";

  explicit ChildProcesses(std::string program = kThisProgram) : program_(std::move(program)) {}
  ChildProcesses(const ChildProcesses&) = delete;
  /// Kills what is left and waits for it.
  ~ChildProcesses();

  /// *Errors*: `resource_exhausted` when the system makes no more processes.
  Expected<pid_t> start(ChildSpec spec);
  /// Those whose name begins with `prefix`.
  std::size_t running(std::string_view prefix = {}) const;

  /// Waits until a child ends, `wake_fd` (-1: none) is readable, or `bound` has passed; then all
  /// that have ended.
  std::vector<ChildExit> wait(std::chrono::milliseconds bound, int wake_fd = -1);
  /// Sends `signal` to all, or to those whose name begins with `prefix`.
  void signal_all(int signal, std::string_view prefix = {}) const;
  /// SIGTERM, then SIGKILL for those that are still there after `grace`. Returns when none of
  /// `prefix` runs.
  void stop(std::chrono::milliseconds grace, std::string_view prefix = {});

 private:
  struct Child {
    ChildSpec spec;
    int pidfd = -1;
    std::chrono::steady_clock::time_point started;
  };
  std::string program_;
  std::map<pid_t, Child> children_;
};

/// The path of a file that this process and its children can read, with `text` in it; it is gone
/// with the last of them. *Errors*: `resource_exhausted`.
Expected<std::string> inherited_file(const std::string& text);

}  // namespace troupe::services
