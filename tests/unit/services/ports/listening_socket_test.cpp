// Where sockets listen and what they say of those that connect.
#include "services/runtime/ports/listening_socket.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include "tests/support/loopback.hpp"

namespace troupe::services {
namespace {

Accepted accept_one(const Descriptor& listener) {
  pollfd ready{listener.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ready, 1, 60'000), 1);
  return accept_on(listener);
}

TEST(ListeningSocket, AWildcardOfEitherFamilyTakesIpv4) {
  for (const char* host : {"0.0.0.0", "::"}) {
    const auto sockets = listen_on_all({host, 0});
    ASSERT_TRUE(sockets) << sockets.error().detail;
    ASSERT_EQ(sockets->size(), 1u);
    const auto client = connect_to(port_of(sockets->front()));
    const auto accepted = accept_one(sockets->front());
    ASSERT_GE(accepted.socket.get(), 0);
    EXPECT_EQ(accepted.peer.host, "127.0.0.1") << host;
    EXPECT_EQ(accepted.peer.port, port_of(client));
  }
}

TEST(ListeningSocket, AllAddressesOfANameHaveOnePort) {
  const auto sockets = listen_on_all({"localhost", 0});
  ASSERT_TRUE(sockets) << sockets.error().detail;
  ASSERT_FALSE(sockets->empty());
  for (const auto& socket : *sockets) EXPECT_EQ(port_of(socket), port_of(sockets->front()));
}

TEST(ListeningSocket, APortInUseIsNamed) {
  const auto first = listen_on_all({"127.0.0.1", 0});
  ASSERT_TRUE(first);
  const Address same{"127.0.0.1", port_of(first->front())};
  const auto second = listen_on_all(same);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::unavailable);
  EXPECT_NE(second.error().detail.find(same.text()), std::string::npos);
  for (const char* part : {"in use", "Name another address or port"})
    EXPECT_NE(second.error().detail.find(part), std::string::npos) << second.error().detail;
}

TEST(ListeningSocket, AGoodbyeDoesNotTakeBackWhatWasSent) {
  const auto listener = listen_on({"127.0.0.1", 0});
  ASSERT_TRUE(listener);
  const auto client = connect_to(port_of(*listener));
  send_text(client, std::string(10'000, 'x'));
  {
    const auto accepted = accept_one(*listener);
    pollfd ready{accepted.socket.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&ready, 1, 60'000), 1);
    send_text(accepted.socket, "no");
    say_goodbye(accepted.socket);
  }
  EXPECT_EQ(read_all(client), "no");
}

}  // namespace
}  // namespace troupe::services
