// The UCX link between two workers and between two processes, over shared memory and tcp.
#include "transport/ucx/ucx_link.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <numeric>
#include <optional>

#include "tests/support/failing_new.hpp"
#include "transport/descriptors.hpp"

namespace troupe::transport {
namespace {

constexpr std::chrono::seconds kDeadline{20};

/// Polls `until` with `step` in between; false when the deadline passed first.
template <class Step, class Until>
bool eventually(Step step, Until until) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!until()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    step();
  }
  return true;
}

UcxSettings over(const std::string& transports) {
  UcxSettings settings;
  settings.options = {{"TLS", transports}};
  return settings;
}

/// Two loops on one thread, each with a context and a link to the other.
struct Wire {
  explicit Wire(const std::string& transports)
      : context_a(*UcxContext::make(over(transports), pool)),
        context_b(*UcxContext::make(over(transports), pool)),
        a(*UcxLink::make(*context_a)),
        b(*UcxLink::make(*context_b)) {
    EXPECT_TRUE(a->open(b->address()));
    EXPECT_TRUE(b->open(a->address()));
  }
  void pump() {
    a->progress([&](ReceivedFrame&& f) { at_a.push_back(std::move(f)); });
    b->progress([&](ReceivedFrame&& f) { at_b.push_back(std::move(f)); });
  }
  OutgoingFrame rows(std::uint64_t work_id, std::span<const float> values, std::uint32_t count) {
    proto::Rows body;
    body.rows = {
        count, static_cast<std::uint32_t>(values.size()) / count, proto::WireDtype::f32, {}};
    proto::FrameHeader header;
    header.work_id = work_id;
    OutgoingFrame frame = make_frame_head(pool, header, body);
    const auto bytes = std::as_bytes(values);
    for (std::uint32_t i = 0; i < count; ++i)
      frame.rows.push_back(bytes.subspan(i * bytes.size() / count, bytes.size() / count));
    return frame;
  }

  BufferPool pool;
  std::unique_ptr<UcxContext> context_a, context_b;
  std::unique_ptr<UcxLink> a, b;
  std::vector<ReceivedFrame> at_a, at_b;
};

class UcxLinkTest : public ::testing::TestWithParam<const char*> {};

TEST_P(UcxLinkTest, CarriesEagerAndRendezvousFramesWhole) {
  Wire wire(GetParam());
  std::vector<float> values(256 * 1024);  // 1 MiB in rows of 4 KiB: rendezvous
  std::iota(values.begin(), values.end(), 0.0f);
  int completed = 0;
  const auto count = [&](Errc outcome) { completed += outcome == Errc::ok ? 1 : 1000; };
  ASSERT_TRUE(wire.a->send(wire.rows(1, std::span(values).first(64), 1), count));
  ASSERT_TRUE(wire.a->send(wire.rows(2, values, 256), count));
  ASSERT_TRUE(wire.b->send(wire.rows(3, std::span(values).first(7168), 2), count));
  ASSERT_TRUE(
      eventually([&] { wire.pump(); },
                 [&] { return wire.at_b.size() == 2 && wire.at_a.size() == 1 && completed == 3; }));
  for (const auto& frame : wire.at_b) {
    const auto& body = std::get<proto::Rows>(frame.body);
    const std::size_t bytes = frame.header.work_id == 1 ? 256 : values.size() * 4;
    ASSERT_EQ(body.rows.data.size(), bytes);
    EXPECT_EQ(std::memcmp(body.rows.data.data(), values.data(), bytes), 0);
  }
  EXPECT_EQ(wire.at_a[0].header.work_id, 3u);
  EXPECT_EQ(wire.a->frames_in_flight(), 0u);
  EXPECT_EQ(wire.a->stats().bytes_sent_total, wire.b->stats().bytes_received_total);
}

TEST_P(UcxLinkTest, DeliversFramesInTheOrderTheyWereSentIn) {
  Wire wire(GetParam());
  const std::vector<float> values(512 * 1024, 1.0f);
  // Eager, several fragments, rendezvous: small ones are whole long before large ones.
  constexpr std::size_t kSizes[] = {16, 512 * 1024, 4096, 16, 20'000, 131'072, 16};
  std::uint64_t sent = 0;
  for (int round = 0; round < 12; ++round)
    for (const std::size_t size : kSizes)
      ASSERT_TRUE(wire.a->send(
          wire.rows(++sent, std::span(values).first(size), size > proto::kWidthMax ? 8 : 1)));
  ASSERT_TRUE(eventually([&] { wire.pump(); }, [&] { return wire.at_b.size() == sent; }));
  for (std::size_t i = 0; i < sent; ++i) EXPECT_EQ(wire.at_b[i].header.work_id, i + 1);
}

TEST_P(UcxLinkTest, HandsOverTheHeadersOfFramesThereIsNoMemoryFor) {
  Wire wire(GetParam());
  const std::vector<float> values(512 * 1024, 1.0f);
  constexpr std::size_t kSizes[] = {16, 7168, 16, 512 * 1024, 16};  // eager, rendezvous
  int completed = 0;
  const auto send_all = [&](std::span<const std::size_t> sizes) {
    for (const std::size_t size : sizes)
      ASSERT_TRUE(wire.a->send(wire.rows(size, std::span(values).first(size), 8),
                               [&](Errc outcome) { completed += outcome == Errc::ok ? 1 : 1000; }));
  };
  const auto all_there = [&](int count) {
    const auto there = [&] { return completed == count && std::ssize(wire.at_b) == count; };
    return eventually([&] { wire.pump(); }, there);
  };
  send_all(std::vector<std::size_t>(16, 16));
  ASSERT_TRUE(all_there(16));
  wire.at_b.clear(), completed = 0;  // the pool has their buffers again
  send_all(kSizes);
  std::optional<troupe::testing::NoMemoryFor> none(16 * 1024);
  ASSERT_TRUE(all_there(5));
  EXPECT_EQ(none->failures(), 2);
  none.reset();
  send_all(kSizes);
  ASSERT_TRUE(all_there(10));
  for (std::size_t i = 0; i < 10; ++i) {
    const auto& frame = wire.at_b[i];
    EXPECT_EQ(frame.header.work_id, kSizes[i % 5]);
    EXPECT_EQ(frame.whole(), i >= 5 || kSizes[i] == 16) << i;
    EXPECT_EQ(std::holds_alternative<proto::Failed>(frame.body), !frame.whole());
  }
  EXPECT_EQ(wire.b->health().state, LinkState::open);
}

/// In a process of its own: frames come where there is no memory even to book them.
[[noreturn]] void receive_without_memory(const char* transports) {
  Wire wire(transports);
  const std::vector<float> values(16, 1.0f);
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(wire.a->send(wire.rows(1, values, 1)));
  const auto step = [&] {
    wire.a->progress([](ReceivedFrame&&) {});
    const troupe::testing::NoMemoryFor none(1);
    wire.b->progress([](ReceivedFrame&&) {});
  };
  try {
    eventually(step, [] { return false; });
  } catch (const std::bad_alloc&) {
    ::_exit(0);  // it has passed through UCX
  }
  ::_exit(1);
}

TEST_P(UcxLinkTest, AnExceptionEndsTheProcessBeforeItPassesThroughUcx) {
  EXPECT_EXIT(receive_without_memory(GetParam()), ::testing::KilledBySignal(SIGABRT), "bad_alloc");
}

TEST_P(UcxLinkTest, NamesTheTransportItWasAskedFor) {
  Wire wire(GetParam());
  EXPECT_NE(wire.a->lanes().find(std::string(GetParam()).substr(0, 3)), std::string::npos)
      << wire.a->lanes();
}

TEST_P(UcxLinkTest, SleepsOnItsDescriptorAndWakesForAFrame) {
  Wire wire(GetParam());
  const std::vector<float> values(16, 1.0f);
  ASSERT_TRUE(wire.a->send(wire.rows(1, values, 1)));
  // Settle first: connecting itself sends messages.
  ASSERT_TRUE(eventually([&] { wire.pump(); }, [&] { return wire.at_b.size() == 1; }));
  ASSERT_TRUE(eventually([&] { wire.pump(); }, [&] { return wire.b->arm(); }));
  ASSERT_TRUE(wire.a->send(wire.rows(2, values, 1)));
  ASSERT_TRUE(eventually(
      [&] {
        wire.a->progress([](ReceivedFrame&&) {});
        if (wire.b->arm()) return;  // not yet there
        wire.b->progress([&](ReceivedFrame&& f) { wire.at_b.push_back(std::move(f)); });
      },
      [&] { return wire.at_b.size() == 2; }));
}

TEST_P(UcxLinkTest, AKeepaliveWakesTheLoopAndIsNoWork) {
  Wire wire(GetParam());
  const std::vector<float> values(16, 1.0f);
  ASSERT_TRUE(wire.a->send(wire.rows(1, values, 1)));
  ASSERT_TRUE(eventually([&] { wire.pump(); }, [&] { return wire.at_b.size() == 1; }));
  const auto none = [](ReceivedFrame&&) { FAIL() << "nobody has sent"; };
  int woken = 0;
  ASSERT_TRUE(eventually(
      [&] {
        wire.a->progress(none);  // its keepalives wake b
        if (!wire.b->arm()) return (void)wire.b->progress(none);
        pollfd sleeping{wire.b->event_fd(), POLLIN, 0};
        if (::poll(&sleeping, 1, 10) <= 0) return;
        ++woken;
        EXPECT_FALSE(wire.b->progress(none));
      },
      [&] { return woken == 3; }));
}

TEST_P(UcxLinkTest, ClosingTellsThePeerAndAnswersEveryOpenSend) {
  Wire wire(GetParam());
  const std::vector<float> values(1024, 1.0f);
  ASSERT_TRUE(wire.a->send(wire.rows(1, values, 1)));
  ASSERT_TRUE(eventually([&] { wire.pump(); }, [&] { return wire.at_b.size() == 1; }));
  wire.b->close(Link::CloseMode::force);
  EXPECT_EQ(wire.b->health().state, LinkState::closed);
  int open = 0;
  for (int i = 0; i < 8; ++i)
    if (wire.a->send(wire.rows(2, values, 1), [&](Errc) { --open; })) ++open;
  wire.a->close(Link::CloseMode::flush);
  EXPECT_EQ(open, 0);
  EXPECT_EQ(wire.a->send(wire.rows(3, values, 1)).error().code, Errc::unavailable);
}

TEST_P(UcxLinkTest, RefusesFramesBeyondItsLimit) {
  BufferPool pool;
  UcxSettings settings = over(GetParam());
  settings.frames_in_flight_max = 0;
  const auto context = *UcxContext::make(settings, pool);
  const auto link = *UcxLink::make(*context);
  ASSERT_TRUE(link->open(link->address()));
  const auto refused = link->send(make_frame(pool, {}, proto::Goodbye{}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::overloaded);
}

/// Writes and reads one length-prefixed string on a pipe.
TEST_P(UcxLinkTest, AFrameAboveTheLimitIsCountedOnceAndEndsTheLink) {
  Wire wire(GetParam());
  const std::vector<float> none(1);
  const OutgoingFrame honest = wire.rows(1, none, 1);
  const std::vector<std::byte> bytes(proto::kFrameBytesMax);
  proto::FrameHeader header;
  std::memcpy(&header, honest.head.data(), sizeof header);
  header.total_bytes = static_cast<std::uint32_t>(proto::kHeaderBytes + bytes.size());
  OutgoingFrame huge{wire.pool.take(proto::kHeaderBytes), {bytes}};
  std::memcpy(huge.head.data(), &header, sizeof header);
  int answered = 0;
  ASSERT_TRUE(wire.a->send(std::move(huge), [&](Errc) { ++answered; }));
  const auto pump = [&] { wire.pump(); };
  ASSERT_TRUE(eventually(pump, [&] { return wire.b->health().state == LinkState::lost; }));
  EXPECT_EQ(wire.b->health().error.code, Errc::malformed);
  EXPECT_NE(wire.b->health().error.detail.find(std::to_string(header.total_bytes)),
            std::string::npos)
      << wire.b->health().error.detail;
  EXPECT_EQ(wire.b->stats().malformed_total, 1u);
  EXPECT_EQ(wire.b->stats().frames_received_total, 0u);
  EXPECT_TRUE(wire.at_b.empty());
  // The peer is there and hears why it is left.
  const proto::Goodbye goodbye{static_cast<std::uint16_t>(Errc::malformed), "a frame too large"};
  EXPECT_TRUE(wire.b->send(make_frame(wire.pool, {}, goodbye)));
  wire.b->close(Link::CloseMode::flush);
  EXPECT_EQ(wire.b->stats().malformed_total, 1u);
  ASSERT_TRUE(eventually(pump, [&] { return !wire.at_a.empty(); }));
  wire.a->close(Link::CloseMode::force);
  EXPECT_EQ(answered, 1);
}

void put(int fd, const std::string& text) {
  const std::uint64_t size = text.size();
  if (write(fd, &size, sizeof size) < 0 || write(fd, text.data(), size) < 0) _exit(3);
}
std::string get(int fd) {
  std::uint64_t size = 0;
  if (read(fd, &size, sizeof size) != sizeof size) return {};
  std::string text(size, '\0');
  for (std::size_t at = 0; at < size;) {
    const auto got = read(fd, text.data() + at, size - at);
    if (got <= 0) return {};
    at += static_cast<std::size_t>(got);
  }
  return text;
}

/// A peer process that swallows frames until it is killed.
[[noreturn]] void swallow(const char* transports, int in, int out) {
  BufferPool pool;
  const auto context = *UcxContext::make(over(transports), pool);
  const auto link = *UcxLink::make(*context);
  put(out, link->address());
  if (!link->open(get(in))) _exit(4);
  for (;;) link->progress([](ReceivedFrame&&) {});
}

TEST_P(UcxLinkTest, AKilledPeerIsReportedAndEverySendIsAnswered) {
  int to_child[2], to_parent[2];
  ASSERT_EQ(pipe(to_child), 0);
  ASSERT_EQ(pipe(to_parent), 0);
  const pid_t child = fork();
  if (child == 0) swallow(GetParam(), to_child[0], to_parent[1]);
  BufferPool pool;
  const auto context = *UcxContext::make(over(GetParam()), pool);
  auto link = *UcxLink::make(*context);
  put(to_child[1], link->address());
  ASSERT_TRUE(link->open(get(to_parent[0])));
  const std::vector<float> values(64 * 1024, 2.0f);  // rendezvous size
  int open = 0, answered = 0;
  const auto flood = [&] {
    proto::Rows body;
    body.rows = {1, static_cast<std::uint32_t>(values.size()), proto::WireDtype::f32, {}};
    while (open < 16) {
      OutgoingFrame frame = make_frame_head(pool, {}, body);
      frame.rows = {std::as_bytes(std::span(values))};
      if (!link->send(std::move(frame), [&](Errc) { --open, ++answered; })) break;
      ++open;
    }
    link->progress([](ReceivedFrame&&) {});
  };
  ASSERT_TRUE(eventually(flood, [&] { return answered > 64; }));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);  // a zombie is not reported before it is reaped
  EXPECT_TRUE(eventually(flood, [&] { return link->health().state == LinkState::lost; }));
  EXPECT_EQ(link->health().error.code, Errc::unavailable) << link->health().error.detail;
  link.reset();
  EXPECT_EQ(open, 0);
  for (const int fd : {to_child[0], to_child[1], to_parent[0], to_parent[1]}) close(fd);
}

/// A peer process of another user: tries the memory that it may not open, then tcp alone.
[[noreturn]] void meet_as_stranger(int in, int out) {
  constexpr unsigned kStranger = 64321;
  if (setgid(kStranger) != 0 || setuid(kStranger) != 0) _exit(3);
  BufferPool pool;
  const std::string theirs = get(in);
  const auto context = *UcxContext::make(over("posix,cma,tcp"), pool);
  const auto refused = (*UcxLink::make(*context))->open(theirs);
  put(out, refused ? "opened" : std::string(to_string(refused.error().code)));
  const auto tcp = *UcxContext::make(over("tcp"), pool);
  const auto link = *UcxLink::make(*tcp);
  if (!link->open(theirs)) _exit(4);
  put(out, link->address());
  for (;;) {
    bool heard = false;
    link->progress([&](ReceivedFrame&&) { heard = true; });
    if (!heard) continue;
    (void)link->send(make_frame(pool, {}, proto::Goodbye{}));
  }
}

TEST(UcxLink, MemoryOfAnotherUserIsRefusedAsIoAndTcpReachesIt) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  int to_child[2], to_parent[2];
  ASSERT_EQ(pipe(to_child), 0);
  ASSERT_EQ(pipe(to_parent), 0);
  const pid_t child = fork();
  if (child == 0) meet_as_stranger(to_child[0], to_parent[1]);
  BufferPool pool;
  const auto context = *UcxContext::make(over("posix,cma,tcp"), pool);
  const auto link = *UcxLink::make(*context);
  put(to_child[1], link->address());
  EXPECT_EQ(get(to_parent[0]), to_string(Errc::io));
  ASSERT_TRUE(link->open(get(to_parent[0])));
  EXPECT_EQ(link->lanes(), "tcp");
  ASSERT_TRUE(link->send(make_frame(pool, {}, proto::Goodbye{})));
  int heard = 0;
  EXPECT_TRUE(eventually([&] { link->progress([&](ReceivedFrame&&) { ++heard; }); },
                         [&] { return heard > 0; }));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  for (const int fd : {to_child[0], to_child[1], to_parent[0], to_parent[1]}) close(fd);
}

INSTANTIATE_TEST_SUITE_P(Transports, UcxLinkTest, ::testing::Values("posix,cma", "tcp"),
                         [](const auto& transports) {
                           return std::string(transports.param).substr(0, 3) == "tcp" ? "tcp"
                                                                                      : "shm";
                         });

TEST(UcxContext, NamesAnOptionValueThatUcxRefuses) {
  BufferPool pool;
  UcxSettings settings;
  settings.options = {{"KEEPALIVE_INTERVAL", "soon"}};
  const auto context = UcxContext::make(settings, pool);
  ASSERT_FALSE(context);
  EXPECT_EQ(context.error().code, Errc::invalid_argument);
  EXPECT_NE(context.error().detail.find("KEEPALIVE_INTERVAL=soon"), std::string::npos);
}

TEST(UcxContext, LeavesWhatTheUserSetAlone) {
  BufferPool pool;
  UcxSettings settings;
  settings.set_by_user = {"TLS"};
  const auto context = *UcxContext::make(settings, pool);
  for (const auto& option : context->applied()) EXPECT_NE(option.substr(0, 4), "TLS=");
}

TEST(UcxLink, RefusesBytesThatAreNoAddress) {
  BufferPool pool;
  const auto context = *UcxContext::make(over("tcp"), pool);
  EXPECT_EQ((*UcxLink::make(*context))->open("").error().code, Errc::invalid_argument);
}

/// A limit on descriptors while it lives: what is open now, and so many more.
class DescriptorsSpare {
 public:
  explicit DescriptorsSpare(std::size_t spare) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit tight = before_;
    tight.rlim_cur = descriptor_use().open + spare;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  }
  ~DescriptorsSpare() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

/// A link over shared memory comes to be, carries a frame and is closed by its owner.
void meet_and_part(UcxContext& one, UcxContext& other, BufferPool& pool) {
  auto a = UcxLink::make(one);
  auto b = UcxLink::make(other);
  ASSERT_TRUE(a) << a.error().detail;
  ASSERT_TRUE(b) << b.error().detail;
  ASSERT_TRUE((*a)->open((*b)->address()));
  ASSERT_TRUE((*b)->open((*a)->address()));
  ASSERT_TRUE((*a)->send(make_frame(pool, {}, proto::Goodbye{})));
  int heard = 0;
  ASSERT_TRUE(eventually(
      [&] {
        (*a)->progress([](ReceivedFrame&&) {});
        (*b)->progress([&](ReceivedFrame&&) { ++heard; });
      },
      [&] { return heard == 1; }));
}

TEST(UcxContext, KeepsNoMoreRetiredWorkersThanItsLimit) {
  BufferPool pool;
  auto settings = over("posix,cma,tcp");
  settings.retired_max = 3;
  const auto one = *UcxContext::make(settings, pool);
  const auto other = *UcxContext::make(settings, pool);
  for (int i = 0; i < 4; ++i) meet_and_part(*one, *other, pool);
  const auto steady = descriptor_use().open;
  for (int i = 0; i < 12; ++i) meet_and_part(*one, *other, pool);
  EXPECT_LE(descriptor_use().open, steady + 4);
  EXPECT_TRUE(one->drop_retired());
  EXPECT_FALSE(one->drop_retired());
  EXPECT_LT(descriptor_use().open, steady);
}

TEST(UcxContext, KeepsFewRetiredWorkersWhereDescriptorsAreFew) {
  BufferPool pool;
  const DescriptorsSpare limit(120);
  const auto context = *UcxContext::make(over("posix,cma,tcp"), pool);
  EXPECT_GE(context->settings().retired_max, 1u);
  EXPECT_LE(context->settings().retired_max * 16, descriptor_use().limit / 4 + 16);
}

TEST(UcxContext, OutlivesMoreLostLinksThanDescriptorsWouldAllow) {
  BufferPool pool;
  auto settings = over("posix,cma,tcp");
  settings.retired_max = 1000;
  const auto one = *UcxContext::make(settings, pool);
  const auto other = *UcxContext::make(settings, pool);
  const DescriptorsSpare limit(120);  // of about ten a worker; 40 links have 80 workers
  for (int i = 0; i < 40 && !::testing::Test::HasFailure(); ++i) meet_and_part(*one, *other, pool);
}

TEST(UcxLink, NamesTheLimitOfDescriptorsThatRunOut) {
  BufferPool pool;
  const auto context = *UcxContext::make(over("posix,cma,tcp"), pool);
  const DescriptorsSpare limit(60);
  std::vector<std::unique_ptr<UcxLink>> links;
  std::optional<Error> refused;
  for (int i = 0; i < 20 && !refused; ++i) {
    auto link = UcxLink::make(*context);
    if (link)
      links.push_back(*std::move(link));
    else
      refused = link.error();
  }
  ASSERT_TRUE(refused);
  EXPECT_GE(links.size(), 2u);
  EXPECT_EQ(refused->code, Errc::resource_exhausted) << refused->detail;
  EXPECT_NE(refused->detail.find("ulimit"), std::string::npos) << refused->detail;
}

TEST(Descriptors, TheSoftLimitIsRaisedToTheHardOne) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  raise_descriptor_limit();
  EXPECT_EQ(descriptor_use().limit, before.rlim_max);
  setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace troupe::transport
