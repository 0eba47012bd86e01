// getaddrinfo, bind, listen.
#include "services/runtime/ops/listening_socket.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace troupe::services {
namespace {

constexpr int kBacklog = 64;

Expected<Descriptor> listen_at(const addrinfo& place) {
  Descriptor socket(::socket(place.ai_family, place.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                             place.ai_protocol));
  const int yes = 1;
  const bool done = socket.get() >= 0 &&
                    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
                    ::bind(socket.get(), place.ai_addr, place.ai_addrlen) == 0 &&
                    ::listen(socket.get(), kBacklog) == 0;
  if (!done) return unexpected(Errc::unavailable, std::strerror(errno));
  return socket;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Expected<Descriptor> listen_on(const Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  const int failed = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  const std::string where = "cannot listen on " + address.text() + ": ";
  if (failed != 0) return unexpected(Errc::unavailable, where + ::gai_strerror(failed));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> places(found, ::freeaddrinfo);
  Error why{Errc::unavailable, "no address"};
  for (const addrinfo* place = found; place != nullptr; place = place->ai_next) {
    auto socket = listen_at(*place);
    if (socket) return socket;
    why = socket.error();
  }
  return unexpected(why.code, where + why.detail);
}

std::uint16_t port_of(const Descriptor& socket) {
  sockaddr_storage name{};
  socklen_t bytes = sizeof(name);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &bytes) != 0) return 0;
  in_port_t port = 0;
  if (name.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &name, sizeof(v4));
    port = v4.sin_port;
  } else if (name.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &name, sizeof(v6));
    port = v6.sin6_port;
  }
  return ntohs(port);
}

}  // namespace troupe::services
