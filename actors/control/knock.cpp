// Resolve, connect, greet, answer: each with a time limit.
#include "actors/control/knock.hpp"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace troupe::actors {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kSlice{100};  // how soon `stop` is noticed

struct Wait {
  Clock::time_point deadline;
  const std::atomic<bool>& stop;

  /// 0 once `fd` is ready for `events`, else an errno.
  int until_ready(int fd, short events) const {
    while (!stop) {
      const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) return ETIMEDOUT;
      pollfd wait{fd, events, 0};
      if (::poll(&wait, 1, static_cast<int>(std::min(left, kSlice).count())) > 0) return 0;
    }
    return ECANCELED;
  }
};

/// The connected socket, or none and errno.
Socket connect_to(const addrinfo& address, const Wait& wait) {
  Socket socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return {};
  int outcome = ::connect(socket.fd(), address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (outcome == EINPROGRESS) {
    outcome = wait.until_ready(socket.fd(), POLLOUT);
    socklen_t size = sizeof outcome;
    if (outcome == 0 && ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &outcome, &size) != 0)
      outcome = errno;
  }
  if (outcome == 0) return socket;
  errno = outcome;
  return {};
}

Expected<Socket> connect_to(const Endpoint& router, milliseconds budget,
                            const std::atomic<bool>& stop) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int resolved =
      ::getaddrinfo(router.host.c_str(), std::to_string(router.port).c_str(), &hints, &found);
  if (resolved != 0) return unexpected(Errc::unavailable, ::gai_strerror(resolved));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &::freeaddrinfo);
  int why = EHOSTUNREACH;
  for (const auto* address = found; address != nullptr; address = address->ai_next) {
    auto socket = connect_to(*address, Wait{Clock::now() + budget, stop});
    if (socket) return socket;
    why = errno;
  }
  return unexpected(Errc::unavailable, std::strerror(why));
}

/// Nothing once all bytes are there, else why not.
std::optional<std::string> receive(int fd, std::span<std::byte> bytes, const Wait& wait) {
  while (!bytes.empty()) {
    const auto got = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (got > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(got));
      continue;
    }
    if (got == 0 || errno == ECONNRESET) return "it closed the connection before it let us in";
    if (errno != EAGAIN && errno != EINTR) return std::strerror(errno);
    const int waited = wait.until_ready(fd, POLLIN);
    if (waited == ETIMEDOUT)
      return "it does not answer; is a router of this cluster and release listening there, and "
             "does it run?";
    if (waited != 0) return std::strerror(waited);
  }
  return std::nullopt;
}

std::optional<std::string> send_all(int fd, std::span<const std::byte> bytes) {
  const auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(bytes.size())) return std::nullopt;
  return sent < 0 ? std::strerror(errno) : "it takes no data";
}

JoinFault unreachable(std::string why) {
  return {Refusal::none, {Errc::unavailable, std::move(why)}};
}

std::optional<JoinFault> prove(int fd, JoinAttempt attempt, const Wait& wait) {
  if (const auto why = send_all(fd, attempt.greeting())) return unreachable(*why);
  std::array<std::byte, proto::kChallengeBytes> challenge;
  if (const auto why = receive(fd, challenge, wait)) return unreachable(*why);
  const auto answer = attempt.answer(challenge);
  if (const auto* fault = std::get_if<JoinFault>(&answer)) return *fault;
  if (const auto why = send_all(fd, std::get<0>(answer))) return unreachable(*why);
  std::array<std::byte, proto::kVerdictBytes> verdict;
  if (const auto why = receive(fd, verdict, wait)) return unreachable(*why);
  return attempt.conclude(verdict);
}

}  // namespace

KnockOutcome knock(const Endpoint& router, const JoinIdentity& own, PeerId who,
                   const std::atomic<bool>& stop, KnockBudgets budgets) {
  const auto failed = [&](JoinFault fault) {
    fault.error.detail = "router at " + to_string(router) + ": " + fault.error.detail;
    return KnockOutcome{{}, std::move(fault)};
  };
  auto socket = connect_to(router, budgets.connect, stop);
  if (!socket) return failed({Refusal::none, socket.error()});
  const Wait wait{Clock::now() + budgets.preamble, stop};
  if (auto fault = prove(socket->fd(), JoinAttempt(own, who, ::getpid(), fresh_nonce()), wait))
    return failed(std::move(*fault));
  if (!bound_silence(*socket)) return failed(unreachable(std::strerror(errno)));
  return {std::move(*socket), {}};
}

}  // namespace troupe::actors
