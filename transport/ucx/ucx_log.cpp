// A log handler in front of UCX's own.
#include "transport/ucx/ucx_log.hpp"

#include <ucs/config/global_opts.h>
#include <ucs/debug/log_def.h>

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "core/check.hpp"
#include "core/first_bytes.hpp"

namespace troupe::transport {
namespace {

constexpr std::size_t kLineBytesMax = 2048;

UcxLogSink g_sink;  // UCX's handlers have no argument
UcxStrangerSink g_on_stranger;
ucs_log_level_t g_users_level = UCS_LOG_LEVEL_WARN;  // what UCX_LOG_LEVEL says

/// UCX 1.13, uct_tcp_ep_progress_magic_number_rx. Other words, other releases: no strangers told.
constexpr std::string_view kStrangerLine = "received wrong magic number";

UcxLogLevel level_of(ucs_log_level_t level) {
  if (level <= UCS_LOG_LEVEL_ERROR) return UcxLogLevel::error;
  if (level == UCS_LOG_LEVEL_WARN) return UcxLogLevel::warning;
  return level <= UCS_LOG_LEVEL_INFO ? UcxLogLevel::info : UcxLogLevel::debug;
}

/// The number behind `name` in UCX's line; 0 where there is none.
std::uint64_t number_in(std::string_view line, std::string_view name) {
  const auto at = line.find(name);
  std::uint64_t number = 0;
  if (at != line.npos)
    std::from_chars(line.data() + at + name.size(), line.data() + line.size(), number);
  return number;
}

/// "... received wrong magic number (expected: N, received: N) for ep=P (fd=N) from ADDRESS", where
/// the address is our own end's: the descriptor, still open, knows the other.
UcxStranger stranger_in(std::string_view line) {
  std::array<char, sizeof(std::uint64_t)> said{};
  const std::uint64_t received = number_in(line, "received: ");
  std::memcpy(said.data(), &received, said.size());
  UcxStranger who{"?", 0, looks_like({said.data(), said.size()})};
  sockaddr_storage name{};
  socklen_t bytes = sizeof name;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  const auto* address = reinterpret_cast<const sockaddr*>(&name);
  if (::getpeername(static_cast<int>(number_in(line, "(fd=")), reinterpret_cast<sockaddr*>(&name),
                    &bytes) == 0 &&
      ::getnameinfo(address, bytes, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
    who.host = host.data();
    who.port = static_cast<std::uint16_t>(number_in(port.data(), ""));
  }
  return who;
}

std::string formatted(const char* format, va_list words) {
  std::array<char, kLineBytesMax> text{};
  va_list copy;  // the next handler reads them again
  va_copy(copy, words);
  std::vsnprintf(text.data(), text.size(), format, copy);
  va_end(copy);
  return text.data();
}

ucs_log_func_rc_t take_line(const char* file, unsigned line, const char*, ucs_log_level_t level,
                            const ucs_log_component_config_t*, const char* format, va_list words) {
  if (level == UCS_LOG_LEVEL_DEBUG && g_on_stranger &&
      std::string_view(format).find(kStrangerLine) != std::string_view::npos)
    g_on_stranger(stranger_in(formatted(format, words)));
  if (level > g_users_level && level != UCS_LOG_LEVEL_PRINT) return UCS_LOG_FUNC_RC_STOP;
  const char* slash = std::strrchr(file, '/');
  const std::string source =
      std::string(slash == nullptr ? file : slash + 1) + ":" + std::to_string(line);
  g_sink(level_of(level), formatted(format, words), source);
  const char* kept = ucs_global_opts.log_file;
  return kept != nullptr && *kept != '\0' ? UCS_LOG_FUNC_RC_CONTINUE : UCS_LOG_FUNC_RC_STOP;
}

}  // namespace

UcxLog::UcxLog(UcxLogSink sink, UcxStrangerSink on_stranger) {
  TROUPE_CHECK(sink && !g_sink, "one log of UCX at a time");
  g_sink = std::move(sink);
  g_on_stranger = std::move(on_stranger);
  ucs_log_level_t& level = ucs_global_opts.log_component.log_level;
  g_users_level = level;
  ucs_log_push_handler(&take_line);
  if (g_on_stranger) level = std::max(level, UCS_LOG_LEVEL_DEBUG);
}

UcxLog::~UcxLog() {
  ucs_global_opts.log_component.log_level = g_users_level;
  ucs_log_pop_handler();
  g_sink = {};
  g_on_stranger = {};
}

}  // namespace troupe::transport
