// getaddrinfo, bind, listen, accept.
#include "services/runtime/ports/listening_socket.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace troupe::services {
namespace {

constexpr int kGoodbyeReads = 64;  // of 4 KiB

enum class Use : std::uint8_t { listen, hold };

Expected<Descriptor> bound_to(const addrinfo& place, Use use) {
  Descriptor socket(::socket(place.ai_family, place.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                             place.ai_protocol));
  const int yes = 1;
  const int no = 0;
  if (place.ai_family == AF_INET6)  // "::" is IPv4's wildcard too, whatever the system's default
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
  const bool done = socket.get() >= 0 &&
                    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
                    ::bind(socket.get(), place.ai_addr, place.ai_addrlen) == 0 &&
                    (use == Use::hold || ::listen(socket.get(), SOMAXCONN) == 0);
  if (!done) return unexpected(Errc::unavailable, std::strerror(errno));
  return socket;
}

using Places = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Expected<Places> places_of(const Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  const int failed = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  if (failed != 0) return unexpected(Errc::unavailable, ::gai_strerror(failed));
  return Places(found, ::freeaddrinfo);
}

void set_port(addrinfo& place, std::uint16_t port) {
  if (place.ai_family == AF_INET)
    reinterpret_cast<sockaddr_in*>(place.ai_addr)->sin_port = htons(port);
  if (place.ai_family == AF_INET6)
    reinterpret_cast<sockaddr_in6*>(place.ai_addr)->sin6_port = htons(port);
}

enum class Wanted : std::uint8_t { first, all };

/// `Wanted::first`: one socket, on the first place that is to be had.
Expected<std::vector<Descriptor>> open_sockets(const Address& address, Use use, Wanted wanted) {
  auto places = places_of(address);
  if (!places) return unexpected(places.error());
  std::vector<Descriptor> sockets;
  Error why{Errc::unavailable, "no address"};
  for (addrinfo* place = places->get(); place != nullptr; place = place->ai_next) {
    if (!sockets.empty() && address.port == 0) set_port(*place, port_of(sockets.front()));
    auto socket = bound_to(*place, use);
    if (!socket) {
      why = socket.error();
      continue;
    }
    sockets.push_back(*std::move(socket));
    if (wanted == Wanted::first) break;
  }
  if (sockets.empty()) return unexpected(why);
  return sockets;
}

Error cannot_listen(const Address& address, const Error& why) {
  return {why.code, "cannot listen on " + address.text() + ": " + why.detail +
                        ". Name another address or port, or end what listens there"};
}

Expected<std::vector<Descriptor>> open_all(const Address& address, Use use) {
  const bool wildcard = address.host == "0.0.0.0" || address.host == "::";
  auto sockets = open_sockets({wildcard ? "::" : address.host, address.port}, use, Wanted::all);
  if (!sockets && wildcard) sockets = open_sockets({"0.0.0.0", address.port}, use, Wanted::all);
  if (!sockets) return unexpected(cannot_listen(address, sockets.error()));
  return sockets;
}

/// The address and port in `name`, IPv4 written as such.
Address address_of(const sockaddr_storage& name) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (name.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &name, sizeof(v4));
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return {text.data(), ntohs(v4.sin_port)};
  }
  if (name.ss_family != AF_INET6) return {"?", 0};
  sockaddr_in6 v6{};
  std::memcpy(&v6, &name, sizeof(v6));
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text.data(), text.size());
  } else {
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  }
  return {text.data(), ntohs(v6.sin6_port)};
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Expected<Descriptor> listen_on(const Address& address) {
  auto sockets = open_sockets(address, Use::listen, Wanted::first);
  if (!sockets) return unexpected(cannot_listen(address, sockets.error()));
  return std::move(sockets->front());
}

Expected<std::vector<Descriptor>> listen_on_all(const Address& address) {
  return open_all(address, Use::listen);
}

Expected<std::vector<Descriptor>> hold_for_listener(const Address& address) {
  return open_all(address, Use::hold);
}

std::uint16_t port_of(const Descriptor& socket) {
  sockaddr_storage name{};
  socklen_t bytes = sizeof(name);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &bytes) != 0) return 0;
  return address_of(name).port;
}

Address peer_of(const Descriptor& socket) {
  sockaddr_storage name{};
  socklen_t bytes = sizeof(name);
  if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&name), &bytes) != 0) return {"?", 0};
  return address_of(name);
}

Accepted accept_on(const Descriptor& listener) {
  sockaddr_storage name{};
  socklen_t bytes = sizeof(name);
  Descriptor socket(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&name), &bytes,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.get() < 0) return {std::move(socket), {}};
  return {std::move(socket), address_of(name)};
}

void say_goodbye(const Descriptor& socket) {
  ::shutdown(socket.get(), SHUT_WR);
  std::array<char, 4096> part{};
  for (int i = 0; i < kGoodbyeReads; ++i)
    if (::recv(socket.get(), part.data(), part.size(), MSG_DONTWAIT) <= 0) return;
}

}  // namespace troupe::services
