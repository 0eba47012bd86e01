// A TCP connection attempt with a time limit.
#include "actors/member/port_probe.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace troupe::actors {
namespace {

constexpr std::chrono::milliseconds kSlice{100};  // how soon `stop` is noticed

/// 0, or the errno of the attempt.
int try_connect(const addrinfo& address, std::chrono::steady_clock::time_point deadline,
                const std::atomic<bool>& stop) {
  const int fd = ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int outcome = ::connect(fd, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  while (outcome == EINPROGRESS && !stop) {
    pollfd wait{fd, POLLOUT, 0};
    if (::poll(&wait, 1, static_cast<int>(kSlice.count())) > 0) {
      socklen_t size = sizeof outcome;
      if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &outcome, &size) != 0) outcome = errno;
    } else if (std::chrono::steady_clock::now() >= deadline) {
      outcome = ETIMEDOUT;
    }
  }
  ::close(fd);
  return outcome;
}

}  // namespace

Expected<void> probe_port(const Endpoint& endpoint, std::chrono::milliseconds budget,
                          const std::atomic<bool>& stop) {
  const auto deadline = std::chrono::steady_clock::now() + budget;
  const auto failed = [&](const char* why) {
    return unexpected(Errc::unavailable, to_string(endpoint) + ": " + why);
  };
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int resolved =
      ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (resolved != 0) return failed(::gai_strerror(resolved));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &::freeaddrinfo);
  int outcome = EHOSTUNREACH;
  for (const auto* address = found; address != nullptr; address = address->ai_next) {
    outcome = try_connect(*address, deadline, stop);
    if (outcome == 0) return {};
  }
  return failed(std::strerror(outcome));
}

}  // namespace troupe::actors
