// A peer of a server under test, over the loopback interface.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "services/runtime/ports/listening_socket.hpp"

namespace troupe::services {

/// A blocking socket.
inline Descriptor connect_to(std::uint16_t port) {
  Descriptor peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(peer.get(), reinterpret_cast<const sockaddr*>(&place), sizeof(place)), 0);
  return peer;
}

/// All that comes until the other side closes, one way or the other.
inline std::string read_all(const Descriptor& peer) {
  std::string all;
  std::array<char, 4096> part{};
  for (ssize_t got = 0; (got = ::recv(peer.get(), part.data(), part.size(), 0)) > 0;)
    all.append(part.data(), static_cast<std::size_t>(got));
  return all;
}

inline void send_text(const Descriptor& peer, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // it has closed
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

}  // namespace troupe::services
