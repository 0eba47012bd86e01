// The line that each call leaves in the log.
#pragma once
#include <chrono>
#include <mutex>

#include "core/door_log.hpp"
#include "services/gateway/gateway_state.hpp"
#include "services/runtime/log/logger.hpp"

namespace troupe::services {

/// Writes `call_ended`: an error where the server is to blame, with what the client was not told.
/// *Threading*: any.
class CallLog {
 public:
  /// `log` must outlive it.
  explicit CallLog(Logger& log) : log_(log) {}

  /// Nothing of a stranger, of whom other lines tell. Of those that were not read one line a second
  /// at most; the next one tells how many are missing.
  void tell(const CallRecord& call, DoorLog::TimePoint now = std::chrono::steady_clock::now());

 private:
  Logger& log_;
  std::mutex mutex_;
  DoorLog unread_{{.lines_at_once = 1,
                   .line_every = std::chrono::milliseconds(1000),
                   .all_at_once = 1,
                   .all_every = std::chrono::milliseconds(1000)}};
};

}  // namespace troupe::services
