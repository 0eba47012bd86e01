// A number of a socket may be another's by now: who is at its other end is looked at first.
#include "services/gateway/grpc/reset_limit.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <utility>

namespace troupe::services {
namespace {

/// Ends what is between us and `peer`, if `number` is that still, and with it what has come and is
/// not read yet: shutdown(2) would leave that. Its owner closes it.
bool end_connection(int number, const Address& peer) {
  const Descriptor held(::fcntl(number, F_DUPFD_CLOEXEC, 0));  // stays what it is from here on
  if (held.get() < 0 || peer_of(held) != peer) return false;
  const sockaddr nobody{AF_UNSPEC, {}};
  return ::connect(held.get(), &nobody, sizeof nobody) == 0;
}

}  // namespace

void ResetLimit::watch(int socket, const Address& peer) {
  const std::lock_guard lock(mutex_);
  Connection& connection = connections_[socket];
  if (const auto old = sockets_.find(connection.name);
      old != sockets_.end() && old->second == socket)
    sockets_.erase(old);
  connection = {peer, grpc_name_of(peer), {}};
  sockets_[connection.name] = socket;
}

void ResetLimit::call_over(const std::string& peer, bool reset_at_once,
                           ResetCounts::TimePoint now) {
  Address ended;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sockets_.find(peer);
    if (found == sockets_.end()) return;
    Connection& connection = connections_.at(found->second);
    if (connection.counts.add(reset_at_once, now)) return;
    ended = connection.peer;
    if (!end_connection(found->second, ended)) return;
    sockets_.erase(found);  // once
  }
  if (on_ended_) on_ended_(ended);
}

std::string grpc_name_of(const Address& peer) {
  const std::string port = ":" + std::to_string(peer.port);
  if (peer.host.find(':') == std::string::npos) return "ipv4:" + peer.host + port;
  return "ipv6:%5B" + peer.host + "%5D" + port;
}

}  // namespace troupe::services
