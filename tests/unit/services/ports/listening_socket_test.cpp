// Where sockets listen and what they say of those that connect.
#include "services/runtime/ports/listening_socket.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "tests/support/loopback.hpp"

namespace troupe::services {
namespace {

Accepted accept_one(const Descriptor& listener) {
  pollfd ready{listener.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ready, 1, 60'000), 1);
  return accept_on(listener);
}

constexpr int kLocalPortRange =
    51;  // IP_LOCAL_PORT_RANGE, of Linux 6.3, not in Debian 12's headers

/// Binds to any free port of 127.0.0.1 when that can only be `port`: 0, or errno; nothing when
/// this kernel cannot narrow the choice.
std::optional<int> bind_to_any_of(std::uint16_t port) {
  const Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  const std::uint32_t range = port | std::uint32_t{port} << 16U;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (::setsockopt(socket.get(), IPPROTO_IP, kLocalPortRange, &range, sizeof(range)) != 0)
    return std::nullopt;
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)) == 0 ? 0 : errno;
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

TEST(HeldPort, IsTheListenersThatNamesIt) {
  for (const char* host : {"127.0.0.1", "localhost", "0.0.0.0"}) {
    const auto held = hold_for_listener({host, 0});
    ASSERT_TRUE(held) << held.error().detail;
    const auto listener = listen_on_all({host, port_of(held->front())});
    ASSERT_TRUE(listener) << listener.error().detail;
    const auto client = connect_to(port_of(held->front()));
    const auto v4 = std::find_if(listener->begin(), listener->end(), [](const auto& socket) {
      pollfd ready{socket.get(), POLLIN, 0};
      return ::poll(&ready, 1, 0) == 1;
    });
    ASSERT_NE(v4, listener->end()) << host;
    EXPECT_GE(accept_one(*v4).socket.get(), 0);
  }
}

TEST(HeldPort, IsNotGivenToWhoeverTakesAny) {
  auto held = hold_for_listener({"127.0.0.1", 0});
  ASSERT_TRUE(held);
  const auto port = port_of(held->front());
  const auto taken = bind_to_any_of(port);
  if (!taken) GTEST_SKIP() << "this kernel has no IP_LOCAL_PORT_RANGE";
  EXPECT_EQ(*taken, EADDRINUSE);
  held->clear();
  EXPECT_EQ(bind_to_any_of(port), 0);
}

TEST(HeldPort, MustNotBeSomebodysThatListens) {
  const auto listener = listen_on({"127.0.0.1", 0});
  ASSERT_TRUE(listener);
  const auto held = hold_for_listener({"127.0.0.1", port_of(*listener)});
  ASSERT_FALSE(held);
  EXPECT_NE(held.error().detail.find("in use"), std::string::npos) << held.error().detail;
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
