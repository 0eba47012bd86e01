// What a connection of the gRPC ports is told of its bounds.
#include "services/gateway/grpc/listening_server.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/loopback.hpp"

namespace troupe::services {
namespace {

using namespace std::chrono_literals;

// HTTP/2's preface and an empty SETTINGS.
const std::string kOpening("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 33);
// *Source*: RFC 9113, 6 and 6.5.2.
constexpr std::uint8_t kSettingsFrame = 4, kGoAwayFrame = 7;
constexpr std::uint32_t kMaxConcurrentStreams = 3;
constexpr std::size_t kHeadBytes = 9, kSettingBytes = 6;

std::uint32_t big_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

std::string read_bytes(const Descriptor& peer, std::size_t count) {
  std::string bytes(count, '\0');
  const ssize_t got = count == 0 ? 0 : ::recv(peer.get(), bytes.data(), count, MSG_WAITALL);
  bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return bytes;
}

class ListeningServerTest : public ::testing::Test {
 protected:
  void start(GrpcSettings settings) {
    settings.listen = {"127.0.0.1", 0};
    auto server = ListeningServer::start(settings, {});
    ASSERT_TRUE(server) << server.error().detail;
    server_ = *std::move(server);
    peer_ = connect_to(server_->port());
    const timeval a_minute{60, 0};
    ::setsockopt(peer_.get(), SOL_SOCKET, SO_RCVTIMEO, &a_minute, sizeof a_minute);
    send_text(peer_, kOpening);
  }
  /// The payload of the next frame of that type; nothing after a minute without any.
  std::optional<std::string> next(std::uint8_t type) {
    while (true) {
      const std::string head = read_bytes(peer_, kHeadBytes);
      if (head.size() < kHeadBytes) return std::nullopt;
      std::string payload = read_bytes(peer_, big_endian(head.substr(0, 3)));
      if (static_cast<std::uint8_t>(head[3]) == type) return payload;
    }
  }

  std::unique_ptr<ListeningServer> server_;
  Descriptor peer_;
};

TEST_F(ListeningServerTest, TellsHowManyStreamsAConnectionMayHave) {
  GrpcSettings settings;
  settings.streams_max = 7;
  start(settings);
  const auto told = next(kSettingsFrame);
  ASSERT_TRUE(told);
  std::optional<std::uint32_t> streams;
  for (std::size_t at = 0; at + kSettingBytes <= told->size(); at += kSettingBytes) {
    if (big_endian(told->substr(at, 2)) == kMaxConcurrentStreams)
      streams = big_endian(told->substr(at + 2, 4));
  }
  EXPECT_EQ(streams, 7u);
}

TEST_F(ListeningServerTest, SendsAConnectionAwayThatIsOld) {
  GrpcSettings settings;
  settings.connection_age_max = 100ms;
  start(settings);
  const auto told = next(kGoAwayFrame);
  ASSERT_TRUE(told) << "no GOAWAY";
  ASSERT_GE(told->size(), 8u);
  EXPECT_EQ(big_endian(told->substr(4, 4)), 0u) << "no error";
  EXPECT_EQ(big_endian(told->substr(0, 4)), 0x7fffffffu) << "the calls on it go on";
}

}  // namespace
}  // namespace troupe::services
