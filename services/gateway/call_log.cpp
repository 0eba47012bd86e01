// From a finished call to its line.
#include "services/gateway/call_log.hpp"

#include <optional>

namespace troupe::services {
namespace {

bool is_fault(const std::string& code) {
  return code == "500" || code == "INTERNAL" || code == "UNKNOWN" || code == "DATA_LOSS";
}

}  // namespace

void CallLog::tell(const CallRecord& call, DoorLog::TimePoint now) {
  if (call.stranger || (call.poll && call.reason.empty())) return;
  std::optional<std::uint64_t> left_out = 0;
  if (call.unread) {
    const std::lock_guard lock(mutex_);
    left_out = unread_.admit("", now);  // all of them together: none of them has a name
  }
  if (!left_out) return;
  LogFields fields{{"request_id", call.request_id},
                   {"trace_id", call.trace_id},
                   {"key", call.key_name},
                   {"api", call.api},
                   {"code", call.code},
                   {"reason", call.reason},
                   {"finish", call.finish},
                   {"prompt_tokens", call.prompt_tokens},
                   {"generated_tokens", call.generated_tokens},
                   {"duration_ms", static_cast<std::int64_t>(call.duration_s * 1000)}};
  if (*left_out > 0) fields.emplace_back("refusals_not_told", static_cast<std::int64_t>(*left_out));
  if (!call.cause.empty()) fields.emplace_back("cause", call.cause);
  log_.log(is_fault(call.code) ? LogLevel::error : LogLevel::info, "call_ended", "", fields);
}

}  // namespace troupe::services
