// Options of connected sockets.
#include "actors/control/socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace troupe::actors {
namespace {

// Beats travel every 500 ms at least, so that probes are sent on dead connections only.
constexpr int kIdleSeconds = 15;
constexpr int kProbeSeconds = 15;
constexpr int kProbes = 3;
constexpr int kUnackedMs = 60'000;

bool set(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

}  // namespace

bool bound_silence(const Socket& socket) {
  const int fd = socket.fd();
  return set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) && set(fd, IPPROTO_TCP, TCP_KEEPIDLE, kIdleSeconds) &&
         set(fd, IPPROTO_TCP, TCP_KEEPINTVL, kProbeSeconds) &&
         set(fd, IPPROTO_TCP, TCP_KEEPCNT, kProbes) &&
         set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUnackedMs);
}

}  // namespace troupe::actors
