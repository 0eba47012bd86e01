// UCX's own log lines, for whoever logs for this process.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

namespace troupe::transport {

enum class UcxLogLevel : std::uint8_t { error, warning, info, debug };

/// `source` is UCX's file and line, "mm_posix.c:206". Called from any thread, inside of UCX's
/// calls.
using UcxLogSink = std::function<void(UcxLogLevel, std::string_view text, std::string_view source)>;

/// While it lives UCX's lines go to `sink` and no longer to stdout or stderr; to the file of
/// UCX_LOG_FILE as well, where the user has set one. UCX_LOG_LEVEL decides which lines there are.
/// *Threading*: one in a process at a time; made before UCX is used, destroyed after.
class UcxLog {
 public:
  explicit UcxLog(UcxLogSink sink);
  UcxLog(const UcxLog&) = delete;
  ~UcxLog();
};

}  // namespace troupe::transport
