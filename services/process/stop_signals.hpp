// SIGINT and SIGTERM as something a main loop waits for.
#pragma once
#include <chrono>

#include "services/runtime/ports/listening_socket.hpp"

namespace troupe::services {

/// From its construction on the two signals wait here instead of ending the process, until it is
/// destroyed. *Threading*: construct before other threads start (they inherit the mask); one
/// waiting thread, `wake` from any.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  ~StopSignals();

  /// The next signal, or 0 after `bound` or a `wake`.
  int wait(std::chrono::milliseconds bound);
  void wake() const;

 private:
  Descriptor signals_;
  Descriptor wakes_;
};

/// The kernel sends SIGTERM when the process that started us ends, however it ends. False: it has
/// ended already.
bool end_with_parent();

}  // namespace troupe::services
