// Probes, metrics and strangers on the ops port.
#include "services/runtime/ops/ops_server.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "tests/support/heard_strangers.hpp"
#include "tests/support/loopback.hpp"

namespace troupe::services {
namespace {

class OpsServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    HealthSources sources;
    sources.live = [] { return HealthChecks{{"main_loop", ""}}; };
    sources.ready = [this] {
      return HealthChecks{{"weights", ""}, {"cluster", ready_ ? "" : "not complete"}};
    };
    sources.started = [this] {
      return HealthChecks{{"weights", started_ ? "" : "loading, layer 3 of 61"}};
    };
    sources.load_progress = [] { return 0.25; };
    sources.metrics = [this] {
      std::unique_lock lock(mutex_);
      ++collections_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !stuck_; });
      return "t_total " + std::to_string(collections_) + "\n" + padding_;
    };
    auto server = OpsServer::start({"127.0.0.1", 0}, std::move(sources), strangers_.sink());
    ASSERT_TRUE(server.has_value()) << server.error().detail;
    server_ = *std::move(server);
  }

  std::string raw(std::string_view request) {
    const Descriptor peer = connect_to(server_->address().port);
    send_text(peer, request);
    return read_all(peer);
  }
  std::string get(const std::string& path) {
    return raw("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }

  void TearDown() override { set_stuck(false); }
  /// Whether collecting metrics waits for an actor that does not answer.
  void set_stuck(bool stuck) {
    const std::lock_guard lock(mutex_);
    stuck_ = stuck;
    changed_.notify_all();
  }
  void set_padding(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    padding_.assign(bytes, '#');
  }
  void wait_for_collections(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return collections_ >= count; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stuck_ = false;
  int collections_ = 0;
  std::string padding_;
  std::atomic<bool> ready_{true};
  std::atomic<bool> started_{true};
  HeardStrangers strangers_;
  std::unique_ptr<OpsServer> server_;
};

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_F(OpsServerTest, ProbesFollowTheChecks) {
  EXPECT_TRUE(get("/livez").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get("/readyz").ends_with("\r\n\r\nok\n"));
  ready_ = false;
  const std::string answer = get("/readyz");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503")) << answer;
  EXPECT_TRUE(answer.ends_with("cluster: not complete\n")) << answer;
  EXPECT_TRUE(get("/livez").starts_with("HTTP/1.1 200"));
}

TEST_F(OpsServerTest, VerboseListsEveryCheck) {
  ready_ = false;
  EXPECT_TRUE(get("/readyz?verbose").ends_with("[+]weights ok\n[-]cluster not complete\nnot ok\n"));
  EXPECT_TRUE(get("/livez?verbose").ends_with("[+]main_loop ok\nok\n"));
}

TEST_F(OpsServerTest, StartupTellsHowFarLoadingIs) {
  started_ = false;
  ready_ = false;
  EXPECT_TRUE(has(get("/startupz"), "layer 3 of 61"));
  const std::string health = get("/health");
  EXPECT_TRUE(health.starts_with("HTTP/1.1 503"));
  EXPECT_TRUE(has(health, "{\"status\":\"loading\",\"progress\":0.250}")) << health;
  started_ = true;
  EXPECT_TRUE(has(get("/health"), "{\"status\":\"unavailable\"}"));
  ready_ = true;
  EXPECT_TRUE(has(get("/health"), "{\"status\":\"ok\"}"));
}

TEST_F(OpsServerTest, MetricsHaveTheirType) {
  const std::string answer = get("/metrics");
  EXPECT_TRUE(has(answer, "Content-Type: text/plain; version=0.0.4")) << answer;
  EXPECT_TRUE(answer.ends_with("t_total 1\n"));
}

TEST_F(OpsServerTest, OtherPathsAndMethodsAreRefused) {
  EXPECT_TRUE(get("/").starts_with("HTTP/1.1 404"));
  EXPECT_TRUE(get("/../etc/passwd").starts_with("HTTP/1.1 404"));
  EXPECT_TRUE(
      raw("POST /livez HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").starts_with("HTTP/1.1 405"));
  EXPECT_TRUE(raw("HEAD /livez HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_F(OpsServerTest, ForeignBytesAreAnswered400OrClosed) {
  const std::string tls("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  for (const std::string& bytes :
       {std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), tls + "\n", std::string("\0\0\0\n", 4),
        std::string("GET\r\n\r\n"), std::string("hello\r\n\r\n"), std::string(64, '\n')}) {
    const std::string answer = raw(bytes);
    EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 400")) << bytes << "\n" << answer;
  }
  EXPECT_TRUE(get("/livez").starts_with("HTTP/1.1 200"));
}

TEST_F(OpsServerTest, NoRequestMayBeLongerThanItsLimit) {
  const std::string line(1 << 20, 'a');
  std::string headers = "GET /livez HTTP/1.1\r\n";
  for (int i = 0; i < 10000; ++i) headers += "X-" + std::to_string(i) + ": y\r\n";
  for (const std::string& request : {line, "GET /" + line, headers}) {
    const std::string answer = raw(request);
    EXPECT_FALSE(has(answer, " 200 ")) << answer.substr(0, 200);
  }
  EXPECT_TRUE(get("/livez").starts_with("HTTP/1.1 200"));
}

TEST_F(OpsServerTest, ProbesAreAnsweredWhilePeersDawdle) {
  set_padding(8 << 20);  // more than sockets hold
  std::vector<Descriptor> peers;
  for (int i = 0; i < 20; ++i) {
    peers.push_back(connect_to(server_->address().port));
    send_text(peers.back(), "GET /metrics HTTP/1.1\r\n\r\n");  // and never read
  }
  for (int i = 0; i < 50; ++i) {
    peers.push_back(connect_to(server_->address().port));
    if (i % 2 == 0) send_text(peers.back(), "GET /livez HT");
  }
  EXPECT_TRUE(get("/livez").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get("/readyz").starts_with("HTTP/1.1 200"));
  set_padding(0);
  EXPECT_TRUE(has(get("/metrics"), "t_total"));
}

TEST_F(OpsServerTest, OfTooManyConnectionsTheOldestIsClosed) {
  const Descriptor first = connect_to(server_->address().port);
  std::vector<Descriptor> peers;
  for (int i = 0; i < 64; ++i) peers.push_back(connect_to(server_->address().port));
  EXPECT_EQ(read_all(first), "");
}

TEST_F(OpsServerTest, ASilentPeerIsClosedInTheEnd) {
  EXPECT_EQ(read_all(connect_to(server_->address().port)), "");
}

TEST_F(OpsServerTest, ProbesDoNotWaitForMetricsBeingCollected) {
  set_stuck(true);
  const Descriptor scraper = connect_to(server_->address().port);
  send_text(scraper, "GET /metrics HTTP/1.1\r\n\r\n");
  wait_for_collections(1);
  EXPECT_TRUE(get("/livez").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get("/readyz").starts_with("HTTP/1.1 200"));
  set_stuck(false);
  EXPECT_TRUE(has(read_all(scraper), "t_total 1"));
}

TEST_F(OpsServerTest, MetricsThatDoNotComeAreThoseOfTheLastTime) {
  EXPECT_TRUE(has(get("/metrics"), "t_total 1"));
  set_stuck(true);
  EXPECT_TRUE(has(get("/metrics"), "t_total 1"));
  set_stuck(false);
  EXPECT_TRUE(has(get("/metrics"), "t_total 3")) << "collected after it was asked for";
}

TEST_F(OpsServerTest, WithoutAFirstTimeMetricsAreUnavailable) {
  set_stuck(true);
  EXPECT_TRUE(get("/metrics").starts_with("HTTP/1.1 503"));
}

TEST_F(OpsServerTest, ManyAtOnceAreAllAnswered) {
  std::vector<std::future<bool>> answers;
  for (int i = 0; i < 32; ++i)
    answers.push_back(std::async(std::launch::async,
                                 [this] { return get("/metrics").starts_with("HTTP/1.1 200"); }));
  for (auto& answer : answers) EXPECT_TRUE(answer.get());
}

TEST_F(OpsServerTest, TellsOfBytesThatAreNoRequest) {
  raw("hello\r\n\r\n");
  raw(std::string("\x16\x03\x01\x02\x00\x01\n", 7));
  raw("GET /" + std::string(1 << 20, 'a'));
  {
    const Descriptor peer = connect_to(server_->address().port);
    send_text(peer, "GET /livez HT");
    ::shutdown(peer.get(), SHUT_WR);
    EXPECT_EQ(read_all(peer), "");
  }
  const Descriptor half = connect_to(server_->address().port);
  send_text(half, "GET /livez HT");
  EXPECT_EQ(read_all(half), "");  // its time has passed
  const auto all = strangers_.wait_for(5);
  ASSERT_EQ(all.size(), 5u);
  const std::vector<std::pair<std::string, std::string>> wanted{{"foreign", "bytes 68656c6c6f"},
                                                                {"foreign", "a TLS hello"},
                                                                {"foreign", "more than a request"},
                                                                {"ended", "hung up"},
                                                                {"silent", "no whole request"}};
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].reason, wanted[i].first);
    EXPECT_TRUE(has(all[i].detail, wanted[i].second)) << all[i].detail;
    EXPECT_EQ(all[i].port, "ops");
    EXPECT_EQ(all[i].peer.host, "127.0.0.1");
    EXPECT_NE(all[i].peer.port, 0);
  }
}

TEST_F(OpsServerTest, SaysNothingOfProbesAndOfThoseThatOnlyConnect) {
  for (int i = 0; i < 100; ++i) connect_to(server_->address().port);  // also more than it keeps
  std::vector<Descriptor> silent;
  for (int i = 0; i < 70; ++i) silent.push_back(connect_to(server_->address().port));
  get("/livez");
  get("/nothing");
  raw("POST /livez HTTP/1.1\r\n\r\n");
  for (const auto& peer : silent) read_all(peer);
  EXPECT_TRUE(strangers_.all().empty());
}

TEST_F(OpsServerTest, TellsOfHalfRequestsThatOthersCrowdOut) {
  const Descriptor half = connect_to(server_->address().port);
  send_text(half, "GET /livez HT");
  std::vector<Descriptor> peers;
  for (int i = 0; i < 80; ++i) peers.push_back(connect_to(server_->address().port));
  EXPECT_EQ(read_all(half), "");
  EXPECT_EQ(strangers_.wait_for(1).at(0).reason, "crowded");
}

TEST_F(OpsServerTest, APortInUseIsNamed) {
  const auto second = OpsServer::start(server_->address(), {});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::unavailable);
  EXPECT_TRUE(has(second.error().detail, server_->address().text())) << second.error().detail;
  EXPECT_TRUE(has(second.error().detail, "in use")) << second.error().detail;
}

TEST(OpsServer, AHostThatIsNoneOfOursIsNamed) {
  for (const char* host : {"192.0.2.1", "no.such.host.invalid"}) {
    const auto server = OpsServer::start({host, 0}, {});
    ASSERT_FALSE(server.has_value());
    EXPECT_TRUE(has(server.error().detail, host)) << server.error().detail;
  }
}

}  // namespace
}  // namespace troupe::services
