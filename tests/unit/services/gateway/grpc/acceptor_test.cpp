// Who is handed on to gRPC, who is turned away, and what is told of it.
#include "services/gateway/grpc/acceptor.hpp"

#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <condition_variable>
#include <mutex>

#include "tests/support/heard_strangers.hpp"
#include "tests/support/loopback.hpp"

namespace troupe::services {
namespace {

using namespace std::chrono_literals;

const std::string kOpening("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", 33);

class AcceptorTest : public ::testing::Test {
 protected:
  void open(AcceptorSettings settings = {}) {
    auto sockets = listen_on_all({"127.0.0.1", 0});
    ASSERT_TRUE(sockets) << sockets.error().detail;
    port_ = port_of(sockets->front());
    settings.port_name = "grpc";
    settings.on_stranger = strangers_.sink();
    acceptor_ = std::make_unique<Acceptor>(*std::move(sockets), settings, [this](Descriptor one) {
      const std::lock_guard lock(mutex_);
      handed_on_.push_back(std::move(one));
      changed_.notify_all();
    });
  }
  /// Once there are so many; fewer after a minute.
  std::size_t handed_on(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 1min, [&] { return handed_on_.size() >= count; });
    return handed_on_.size();
  }
  Descriptor connect() const { return connect_to(port_); }

  HeardStrangers strangers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Descriptor> handed_on_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Acceptor> acceptor_;
};

int option(const Descriptor& socket, int level, int name) {
  int value = -1;
  socklen_t bytes = sizeof value;
  EXPECT_EQ(::getsockopt(socket.get(), level, name, &value, &bytes), 0);
  return value;
}

TEST_F(AcceptorTest, HandsOnWithEveryByteUnread) {
  open();
  const Descriptor client = connect();
  send_text(client, kOpening + "next");
  ASSERT_EQ(handed_on(1), 1u);
  std::string read(kOpening.size() + 4, '\0');
  EXPECT_EQ(::recv(handed_on_[0].get(), read.data(), read.size(), MSG_WAITALL),
            static_cast<ssize_t>(read.size()));
  EXPECT_EQ(read, kOpening + "next");
  EXPECT_NE(option(handed_on_[0], IPPROTO_TCP, TCP_NODELAY), 0);
}

TEST_F(AcceptorTest, WaitsForAnOpeningThatComesInPieces) {
  open();
  const Descriptor client = connect();
  for (const char c : kOpening) {
    EXPECT_EQ(handed_on(0), 0u);
    send_text(client, std::string(1, c));
  }
  ASSERT_EQ(handed_on(1), 1u);
  EXPECT_EQ(option(handed_on_[0], SOL_SOCKET, SO_RCVLOWAT), 1) << "as gRPC expects it";
  EXPECT_TRUE(strangers_.all().empty());
}

double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

TEST_F(AcceptorTest, SleepsWhileHalfAnOpeningIsThere) {
  const double before = processor_seconds();
  AcceptorSettings settings;
  settings.undecided.budget = 1s;
  open(settings);
  const Descriptor half = connect();
  send_text(half, kOpening.substr(0, 20));
  EXPECT_EQ(strangers_.wait_for(1).at(0).reason, "silent");
  EXPECT_LT(processor_seconds() - before, 0.5) << "a loop that spins takes the whole second";
}

TEST_F(AcceptorTest, AnswersForeignProgramsAndHangsUp) {
  open();
  const std::vector<std::pair<std::string, std::string>> said{
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request"},
      {"\x16\x03\x01\x02", "a TLS hello"},
      {"x", "bytes 78"},
      {kOpening.substr(0, 24) + std::string(200, 'x'), "the hello of HTTP/2"},
      {"GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x'), "an HTTP request"}};
  for (std::size_t i = 0; i < said.size(); ++i) {
    const Descriptor stranger = connect();
    send_text(stranger, said[i].first);
    const std::string answer = read_all(stranger);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ") || said[i].first.size() > 10'000) << answer;
    const auto told = strangers_.wait_for(i + 1);
    ASSERT_EQ(told.size(), i + 1);
    EXPECT_EQ(told[i].reason, "foreign");
    EXPECT_EQ(told[i].port, "grpc");
    EXPECT_EQ(told[i].peer.host, "127.0.0.1");
    EXPECT_NE(told[i].detail.find(said[i].second), std::string::npos) << told[i].detail;
  }
  EXPECT_EQ(handed_on(0), 0u);
}

TEST_F(AcceptorTest, WithTlsWantsItsHello) {
  AcceptorSettings settings;
  settings.tls = true;
  open(settings);
  const Descriptor plain = connect();
  send_text(plain, kOpening);
  EXPECT_NE(read_all(plain).find("over TLS"), std::string::npos);
  EXPECT_NE(strangers_.wait_for(1).at(0).detail.find("over TLS only"), std::string::npos);
  const Descriptor client = connect();
  send_text(client, std::string("\x16\x03\x01\x02\x00\x01\x00", 7));
  EXPECT_EQ(handed_on(1), 1u);
}

TEST_F(AcceptorTest, TellsOfThoseThatStopInTheMiddle) {
  AcceptorSettings settings;
  settings.undecided.budget = 20ms;
  open(settings);
  const Descriptor slow = connect();
  send_text(slow, "PRI *");
  EXPECT_EQ(read_all(slow), "");
  EXPECT_EQ(strangers_.wait_for(1).at(0).reason, "silent");
}

TEST_F(AcceptorTest, TellsOfThoseThatHangUpInTheMiddle) {
  AcceptorSettings settings;
  settings.undecided.budget = 60min;
  open(settings);
  const Descriptor gone = connect();
  send_text(gone, "PRI *");
  ::shutdown(gone.get(), SHUT_WR);
  EXPECT_EQ(read_all(gone), "");
  EXPECT_EQ(strangers_.wait_for(1).at(0).reason, "ended");
}

TEST_F(AcceptorTest, ClosesTheSilentWithoutALine) {
  AcceptorSettings settings;
  settings.undecided.budget = 20ms;
  open(settings);
  EXPECT_EQ(read_all(connect()), "");
  for (int i = 0; i < 20; ++i) connect();  // probes of the port
  EXPECT_EQ(read_all(connect()), "");
  EXPECT_TRUE(strangers_.all().empty());
}

TEST_F(AcceptorTest, LetsNobodyBeKeptOutByTheSilent) {
  AcceptorSettings settings;
  settings.undecided.waiting_max = 8;
  settings.undecided.budget = 60min;
  open(settings);
  std::vector<Descriptor> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(connect());
  const Descriptor client = connect();
  send_text(client, kOpening);
  EXPECT_EQ(handed_on(1), 1u);
  EXPECT_EQ(read_all(silent.front()), "");  // the oldest had to leave
}

TEST_F(AcceptorTest, ClosesWhatIsUndecidedAtItsEnd) {
  open();
  const Descriptor half = connect();
  send_text(half, "PRI *");
  acceptor_.reset();
  (void)read_all(half);
  EXPECT_EQ(handed_on(0), 0u);
}

}  // namespace
}  // namespace troupe::services
