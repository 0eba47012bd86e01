// A log handler in front of UCX's own.
#include "transport/ucx/ucx_log.hpp"

#include <ucs/config/global_opts.h>
#include <ucs/debug/log_def.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "core/check.hpp"

namespace troupe::transport {
namespace {

constexpr std::size_t kLineBytesMax = 2048;

UcxLogSink g_sink;  // UCX's handlers have no argument

UcxLogLevel level_of(ucs_log_level_t level) {
  if (level <= UCS_LOG_LEVEL_ERROR) return UcxLogLevel::error;
  if (level == UCS_LOG_LEVEL_WARN) return UcxLogLevel::warning;
  return level <= UCS_LOG_LEVEL_INFO ? UcxLogLevel::info : UcxLogLevel::debug;
}

ucs_log_func_rc_t take_line(const char* file, unsigned line, const char*, ucs_log_level_t level,
                            const ucs_log_component_config_t*, const char* format, va_list words) {
  std::array<char, kLineBytesMax> text{};
  va_list copy;  // the next handler reads them again
  va_copy(copy, words);
  std::vsnprintf(text.data(), text.size(), format, copy);
  va_end(copy);
  const char* slash = std::strrchr(file, '/');
  const std::string source =
      std::string(slash == nullptr ? file : slash + 1) + ":" + std::to_string(line);
  g_sink(level_of(level), text.data(), source);
  const char* kept = ucs_global_opts.log_file;
  return kept != nullptr && *kept != '\0' ? UCS_LOG_FUNC_RC_CONTINUE : UCS_LOG_FUNC_RC_STOP;
}

}  // namespace

UcxLog::UcxLog(UcxLogSink sink) {
  TROUPE_CHECK(sink && !g_sink, "one log of UCX at a time");
  g_sink = std::move(sink);
  ucs_log_push_handler(&take_line);
}

UcxLog::~UcxLog() {
  ucs_log_pop_handler();
  g_sink = {};
}

}  // namespace troupe::transport
