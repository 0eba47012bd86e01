// Who is sent away for calls taken back, who is not, and whose socket is left alone.
#include "services/gateway/grpc/reset_limit.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "tests/support/loopback.hpp"

namespace troupe::services {
namespace {

class ResetLimitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listener = listen_on({"127.0.0.1", 0});
    ASSERT_TRUE(listener) << listener.error().detail;
    listener_ = *std::move(listener);
  }
  /// A connection that is watched; the client's end of it is `client_`.
  Accepted accept() {
    client_ = connect_to(port_of(listener_));
    auto accepted = accept_on(listener_);
    limit_.watch(accepted.socket.get(), accepted.peer);
    return accepted;
  }
  /// As many calls as are judged together, which all take `time`.
  void calls(const Address& peer, int resets, std::chrono::milliseconds time = {}) {
    for (int i = 0; i < ResetCounts::kCalls; ++i) {
      if (i == ResetCounts::kCalls - 1) now_ += time;
      limit_.call_over(grpc_name_of(peer), i < resets, now_);
    }
  }
  static bool is_open(const Descriptor& socket) { return peer_of(socket).host != "?"; }

  Descriptor listener_, client_;
  std::vector<Address> ended_;
  ResetCounts::TimePoint now_;
  ResetLimit limit_{[this](const Address& peer) { ended_.push_back(peer); }};
};

TEST_F(ResetLimitTest, EndsAConnectionThatTakesNearlyAllBackWithWhatItHasSent) {
  const auto [socket, peer] = accept();
  send_text(client_, "not read yet");
  calls(peer, ResetCounts::kResetsMax + 1);
  EXPECT_EQ(ended_, std::vector{peer});
  EXPECT_FALSE(is_open(socket));
  char byte = 0;
  EXPECT_LE(::recv(socket.get(), &byte, 1, MSG_DONTWAIT), 0);
  EXPECT_EQ(read_all(client_), "");
  calls(peer, ResetCounts::kCalls);  // what the library had of it already
  EXPECT_EQ(ended_.size(), 1u);
}

TEST_F(ResetLimitTest, KeepsAConnectionThatTakesSomeBack) {
  const auto [socket, peer] = accept();
  for (int i = 0; i < 3; ++i) calls(peer, ResetCounts::kResetsMax);
  EXPECT_TRUE(is_open(socket));
  EXPECT_EQ(ended_, std::vector<Address>{});
}

TEST_F(ResetLimitTest, KeepsAConnectionThatTakesItsTime) {
  const auto [socket, peer] = accept();
  for (int i = 0; i < 3; ++i) calls(peer, ResetCounts::kCalls, ResetCounts::kFlood);
  EXPECT_TRUE(is_open(socket));
  calls(peer, ResetCounts::kCalls, ResetCounts::kFlood - std::chrono::milliseconds(1));
  EXPECT_FALSE(is_open(socket));
}

TEST_F(ResetLimitTest, LeavesTheNextSocketOfThatNumberAlone) {
  auto gone = accept();
  const int number = gone.socket.get();
  const Descriptor next_client = connect_to(port_of(listener_));
  const auto next = accept_on(listener_);
  ASSERT_EQ(::dup2(next.socket.get(), number), number);  // closes what was there
  calls(gone.peer, ResetCounts::kCalls);
  EXPECT_TRUE(is_open(gone.socket));
  EXPECT_EQ(ended_, std::vector<Address>{});

  limit_.watch(number, next.peer);
  calls(gone.peer, ResetCounts::kCalls);
  EXPECT_TRUE(is_open(gone.socket));
  calls(next.peer, ResetCounts::kCalls);
  EXPECT_FALSE(is_open(gone.socket));
}

TEST(GrpcName, IsWrittenAsTheLibraryDoes) {
  EXPECT_EQ(grpc_name_of({"127.0.0.1", 80}), "ipv4:127.0.0.1:80");
  EXPECT_EQ(grpc_name_of({"fe80::1", 80}), "ipv6:%5Bfe80::1%5D:80");
}

}  // namespace
}  // namespace troupe::services
