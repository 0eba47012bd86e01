// The line that each call leaves in the log.
#pragma once
#include "services/gateway/gateway_state.hpp"
#include "services/runtime/log/logger.hpp"

namespace troupe::services {

/// Writes `call_ended`: an error where the server is to blame, with what the client was not told.
/// *Threading*: any.
class CallLog {
 public:
  /// `log` must outlive it.
  explicit CallLog(Logger& log) : log_(log) {}

  /// Nothing of a stranger, of whom other lines tell.
  void tell(const CallRecord& call);

 private:
  Logger& log_;
};

}  // namespace troupe::services
