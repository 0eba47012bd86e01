// The control port over loopback: who gets in, who does not, and that nobody can keep others out.
#include "actors/control/doorkeeper.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>

#include "actors/control/knock.hpp"
#include "tests/support/node_cluster.hpp"

namespace troupe::actors {
namespace {

using testing::EventLog;
using testing::eventually;
using namespace std::chrono_literals;

constexpr PeerId kExpert = peer_id(proto::Role::expert, 3);

JoinIdentity identity(const std::string& token = "open sesame") {
  return {{}, 7, "blue", join_key_of(token)};
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

/// A blocking connection of somebody who speaks what the test says. Its reads end after a minute.
class Stranger {
 public:
  explicit Stranger(std::uint16_t port)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval minute{60, 0};
    ::setsockopt(socket_.fd(), SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute);
    EXPECT_EQ(::connect(socket_.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
  }
  void say(std::span<const std::byte> bytes) {
    (void)::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void say(std::string_view text) { say(std::as_bytes(std::span(text))); }
  /// All that comes up to `most` bytes or the end.
  std::vector<std::byte> hear(std::size_t most) {
    std::vector<std::byte> heard(most);
    std::size_t have = 0;
    while (have < most) {
      const auto got = ::recv(socket_.fd(), heard.data() + have, most - have, 0);
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    heard.resize(have);
    return heard;
  }
  bool hung_up_on() {
    std::byte byte;
    const auto got = ::recv(socket_.fd(), &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }

 private:
  Socket socket_;
};

struct DoorkeeperTest : ::testing::Test {
  ~DoorkeeperTest() override {
    if (HasFailure()) printf("%s", log.text().c_str());
  }
  void open(DoorLimits limits = {}) {
    DoorHooks hooks;
    hooks.on_event = log.sink("door");
    hooks.on_proved = [this](ProvedConnection connection) {
      std::lock_guard lock(mutex);
      proved.push_back(std::move(connection));
    };
    auto opened = Doorkeeper::open({{"127.0.0.1", 0}, identity(), limits}, std::move(hooks));
    ASSERT_TRUE(opened) << opened.error().detail;
    door = std::move(*opened);
  }
  Endpoint address() const { return {"127.0.0.1", door->port()}; }
  KnockOutcome knock_as(const JoinIdentity& who, KnockBudgets budgets = {60s, 60s}) {
    return knock(address(), who, kExpert, stop, budgets);
  }
  std::size_t inside() {
    std::lock_guard lock(mutex);
    return proved.size();
  }

  EventLog log;
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::deque<ProvedConnection> proved;
  std::unique_ptr<Doorkeeper> door;
};

TEST_F(DoorkeeperTest, LetsAMemberIn) {
  open();
  const auto outcome = knock_as(identity());
  ASSERT_TRUE(outcome.socket) << outcome.fault.error.detail;
  EXPECT_TRUE(eventually([&] { return inside() == 1; }));
  EXPECT_TRUE(log.text().empty());
}

TEST_F(DoorkeeperTest, RefusesAWrongTokenOnBothSides) {
  open();
  const auto outcome = knock_as(identity("guess"));
  EXPECT_FALSE(outcome.socket);
  EXPECT_EQ(outcome.fault.refusal, Refusal::token);
  EXPECT_NE(outcome.fault.error.detail.find(to_string(address())), std::string::npos);
  EXPECT_TRUE(log.wait_for({"member_refused reason=token address=127.0.0.1:",
                            "pid=" + std::to_string(::getpid()), "expert 3"}));
  EXPECT_EQ(inside(), 0u);
}

TEST_F(DoorkeeperTest, LeavesWhatComesAfterThePreambleUnread) {
  open();
  Stranger member(door->port());
  const auto own = identity();
  JoinAttempt attempt(own, kExpert, 1, fresh_nonce());
  member.say(attempt.greeting());
  auto answer = attempt.answer(member.hear(proto::kChallengeBytes));
  std::vector<std::byte> words(std::get<0>(answer).begin(), std::get<0>(answer).end());
  const std::string next = "the control plane's first words";
  const auto behind = std::as_bytes(std::span(next));
  words.insert(words.end(), behind.begin(), behind.end());
  member.say(words);
  EXPECT_FALSE(attempt.conclude(member.hear(proto::kVerdictBytes)));
  ASSERT_TRUE(eventually([&] { return inside() == 1; }));
  std::string read(next.size(), '\0');
  EXPECT_EQ(::recv(proved[0].socket.fd(), read.data(), read.size(), MSG_WAITALL),
            static_cast<ssize_t>(next.size()));
  EXPECT_EQ(read, next);
}

TEST_F(DoorkeeperTest, HangsUpOnForeignProgramsAtOnce) {
  open();
  for (const char* said : {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "x"}) {
    Stranger stranger(door->port());
    stranger.say(said);
    EXPECT_TRUE(stranger.hung_up_on());
  }
  EXPECT_TRUE(log.wait_for({"stranger_refused reason=foreign", "an HTTP request"}));
  EXPECT_TRUE(log.wait_for({"stranger_refused reason=foreign", "a TLS hello"}));
}

TEST_F(DoorkeeperTest, GivesUpOnSilenceAndOnHalfAGreeting) {
  open({.budget = 20ms});
  Stranger silent(door->port());
  EXPECT_TRUE(silent.hung_up_on());
  EXPECT_TRUE(log.wait_for({"stranger_refused reason=silent", "said nothing"}));
  Stranger slow(door->port());
  const auto own = identity();
  const auto greeting = JoinAttempt(own, kExpert, 1, fresh_nonce()).greeting();
  slow.say(std::span(greeting).first(50));
  EXPECT_TRUE(slow.hung_up_on());
  EXPECT_TRUE(log.wait_for({"stranger_refused reason=silent", "after 50 bytes"}));
}

TEST_F(DoorkeeperTest, SaysNothingOfProbesThatOnlyConnect) {
  open({.budget = 60s});
  for (int i = 0; i < 20; ++i) Stranger probe(door->port());
  EXPECT_TRUE(knock_as(identity()).socket);
  EXPECT_EQ(log.text(), "");
}

TEST_F(DoorkeeperTest, IdleStrangersKeepNobodyOut) {
  open({.waiting_max = 16, .budget = 3600s});
  std::vector<std::unique_ptr<Stranger>> crowd;
  for (int i = 0; i < 200; ++i) crowd.push_back(std::make_unique<Stranger>(door->port()));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(knock_as(identity()).socket);
  EXPECT_TRUE(crowd.front()->hung_up_on()) << "the oldest had to leave";
  EXPECT_TRUE(log.wait_for({"stranger_refused reason=crowded"}));
}

TEST_F(DoorkeeperTest, MembersThatComeAllAtOnceAllGetIn) {
  open({.waiting_max = 2, .budget = 60s});
  std::vector<std::thread> members;
  std::atomic<int> in{0};
  for (int i = 0; i < 30; ++i)
    members.emplace_back([&] { in += bool(knock_as(identity()).socket); });
  for (auto& member : members) member.join();
  EXPECT_GE(in, 1);
  // Those that had to leave for another come again, as agents do.
  while (in < 30) in += bool(knock_as(identity()).socket);
  EXPECT_TRUE(eventually([&] { return inside() >= 30; }));
}

TEST_F(DoorkeeperTest, TakesNoMoreConnectionsThanItMay) {
  open({.inside_max = 2});
  auto first = knock_as(identity());
  auto second = knock_as(identity());
  ASSERT_TRUE(first.socket && second.socket);
  ASSERT_TRUE(eventually([&] { return inside() == 2; }));
  const auto third = knock_as(identity());
  EXPECT_FALSE(third.socket);
  EXPECT_EQ(third.fault.refusal, Refusal::full);
  EXPECT_TRUE(log.wait_for({"member_refused reason=full"}));
  {
    std::lock_guard lock(mutex);
    proved.pop_front();  // its owner has ended it
  }
  EXPECT_TRUE(knock_as(identity()).socket);
}

TEST_F(DoorkeeperTest, KeepsNothingOfThoseThatHaveGone) {
  open();
  ASSERT_TRUE(knock_as(identity()).socket);
  ASSERT_TRUE(eventually([&] { return inside() == 1; }));
  const auto before = open_descriptors();
  for (int i = 0; i < 50; ++i) {
    { Stranger probe(door->port()); }
    Stranger foreign(door->port());
    foreign.say("x");
    EXPECT_TRUE(foreign.hung_up_on());
    EXPECT_FALSE(knock_as(identity("guess")).socket);
  }
  EXPECT_TRUE(eventually([&] { return open_descriptors() == before; }));
}

TEST_F(DoorkeeperTest, EndsWhileStrangersWait) {
  open({.budget = 3600s});
  Stranger silent(door->port());
  EXPECT_TRUE(knock_as(identity()).socket);
  door = nullptr;
  EXPECT_TRUE(silent.hung_up_on());
}

TEST_F(DoorkeeperTest, NamesAnAddressThatCannotBeListenedOn) {
  open();
  const auto taken = Doorkeeper::open({address(), identity(), {}}, {});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::unavailable);
  const auto nowhere = Doorkeeper::open({{"no.such.host.invalid", 0}, identity(), {}}, {});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, Errc::unavailable);
}

TEST_F(DoorkeeperTest, ListensOnAllAddressesWhenToldNone) {
  DoorHooks hooks;
  hooks.on_proved = [](ProvedConnection) {};
  auto opened = Doorkeeper::open({{"", 0}, identity(), {}}, std::move(hooks));
  ASSERT_TRUE(opened) << opened.error().detail;
  EXPECT_TRUE(
      knock({"127.0.0.1", (*opened)->port()}, identity(), kExpert, stop, {60s, 60s}).socket);
}

/// A port that listens and is served by the test.
struct KnockTest : ::testing::Test {
  KnockTest() : listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener.fd(), 8), 0);
    socklen_t bytes = sizeof address;
    ::getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &bytes);
    port = ntohs(address.sin_port);
  }
  KnockOutcome knock_with(KnockBudgets budgets) {
    return knock({"127.0.0.1", port}, identity(), kExpert, stop, budgets);
  }
  Socket accepted() { return Socket(::accept(listener.fd(), nullptr, nullptr)); }

  Socket listener;
  std::uint16_t port = 0;
  std::atomic<bool> stop{false};
};

TEST_F(KnockTest, DoesNotWaitForOneThatNeverAnswers) {
  const auto outcome = knock_with({60s, 50ms});
  EXPECT_FALSE(outcome.socket);
  EXPECT_EQ(outcome.fault.refusal, Refusal::none);
  EXPECT_NE(outcome.fault.error.detail.find("router at 127.0.0.1:" + std::to_string(port) +
                                            ": it does not answer"),
            std::string::npos)
      << outcome.fault.error.detail;
}

TEST_F(KnockTest, DoesNotWaitForOneThatDripsBytes) {
  std::thread dripping([&] {
    const auto peer = accepted();
    const auto challenge = proto::encode(proto::Challenge{});
    for (const auto byte : challenge) {
      pollfd end{peer.fd(), POLLRDHUP, 0};
      if (::poll(&end, 1, 20) > 0 && (end.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) return;
      (void)::send(peer.fd(), &byte, 1, MSG_NOSIGNAL);
    }
  });
  EXPECT_FALSE(knock_with({60s, 100ms}).socket);
  dripping.join();
}

TEST_F(KnockTest, SaysThatSomethingElseListensThere) {
  std::thread serving([&] {
    const auto peer = accepted();
    const std::string text =
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n";
    (void)::send(peer.fd(), text.data(), text.size(), MSG_NOSIGNAL);
  });
  const auto outcome = knock_with({60s, 60s});
  serving.join();
  EXPECT_NE(outcome.fault.error.detail.find("something else than a router"), std::string::npos)
      << outcome.fault.error.detail;
}

TEST_F(KnockTest, SaysThatItWasHungUpOn) {
  std::thread closing([&] { (void)accepted(); });
  const auto outcome = knock_with({60s, 60s});
  closing.join();
  EXPECT_NE(outcome.fault.error.detail.find("closed the connection"), std::string::npos)
      << outcome.fault.error.detail;
}

TEST_F(KnockTest, SaysThatNobodyListens) {
  listener = Socket();
  const auto outcome = knock_with({60s, 60s});
  EXPECT_NE(outcome.fault.error.detail.find("refused"), std::string::npos)
      << outcome.fault.error.detail;
}

TEST_F(KnockTest, StopsWhenToldTo) {
  stop = true;
  EXPECT_FALSE(knock_with({3600s, 3600s}).socket);
}

}  // namespace
}  // namespace troupe::actors
