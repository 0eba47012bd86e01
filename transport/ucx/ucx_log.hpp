// UCX's own log lines, for whoever logs for this process.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace troupe::transport {

enum class UcxLogLevel : std::uint8_t { error, warning, info, debug };

/// `source` is UCX's file and line, "mm_posix.c:206". Called from any thread, inside of UCX's
/// calls.
using UcxLogSink = std::function<void(UcxLogLevel, std::string_view text, std::string_view source)>;

/// A program that connected to a port of UCX and does not speak its protocol.
struct UcxStranger {
  std::string host;  // "?" when it has gone already
  std::uint16_t port = 0;
  std::string looks_like;  // "an HTTP request"
};
/// Called as UcxLogSink.
using UcxStrangerSink = std::function<void(const UcxStranger&)>;

/// While it lives UCX's lines go to `sink` and no longer to stdout or stderr; to the file of
/// UCX_LOG_FILE as well, where the user has set one. UCX_LOG_LEVEL decides which lines there are.
/// UCX hangs up on strangers and says so in a line of level `debug` only: where `on_stranger` is
/// given, UCX makes lines of that level, as it does when connections come and go but never for
/// messages; all but that one are dropped before they are formatted.
/// *Threading*: one in a process at a time; made before UCX is used, destroyed after.
class UcxLog {
 public:
  explicit UcxLog(UcxLogSink sink, UcxStrangerSink on_stranger = {});
  UcxLog(const UcxLog&) = delete;
  ~UcxLog();
};

}  // namespace troupe::transport
