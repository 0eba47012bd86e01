// What becomes of a call within which something throws: a bug, and not its client's doing.
#include "services/gateway/http/server.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>

#include "tests/support/loopback.hpp"
#include "tests/unit/services/gateway/fake_engine.hpp"
#include "tests/unit/services/gateway/tiny_model.hpp"

namespace troupe::services::http {
namespace {

/// Throws where it is told to.
class BrokenEngine final : public actors::RequestEngine {
 public:
  Expected<actors::RequestId> submit(actors::GenerateRequest request,
                                     std::shared_ptr<actors::RequestListener> listener) override {
    if (no_memory) throw std::bad_alloc();
    if (!submits) throw std::runtime_error("submit is broken");
    const auto id = engine_.submit(std::move(request), listener);
    listener->on_token({3, tiny_model().tokenizer->encode("a").value().front(), 0, {}});
    return id;
  }
  void cancel(actors::RequestId) override { throw std::runtime_error("cancel is broken"); }
  actors::Readiness readiness() const override { return {actors::Readiness::State::ready, ""}; }
  std::uint64_t numerics_id() const override { return 0; }

  bool submits = true;
  bool no_memory = false;

 private:
  FakeEngine engine_;
};

class HttpServerTest : public ::testing::Test {
 protected:
  /// One request; `read` takes what comes, and then the client goes.
  void ask(const std::string& body, const std::function<void(const Descriptor&)>& read) {
    ServerSettings settings;
    settings.listen.port = 0;
    auto server = Server::start(state, settings).value();
    {
      const Descriptor peer = connect_to(server->port());
      send_text(peer,
                "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                "Content-Length: " +
                    std::to_string(body.size()) + "\r\n\r\n" + body);
      read(peer);
    }
    server.reset();  // its calls have ended
    ASSERT_EQ(records.size(), 1u);
  }

  BrokenEngine engine;
  std::mutex mutex;
  std::vector<CallRecord> records;
  GatewayState state{tiny_served(),
                     engine,
                     {[this](const CallRecord& call) {
                        const std::lock_guard lock(mutex);
                        records.push_back(call);
                      },
                      {},
                      {}},
                     {}};
};

TEST_F(HttpServerTest, AnExceptionIsA500OfItsRouteAndTheLogHasItsText) {
  engine.submits = false;
  std::string reply;
  ask(R"({"prompt": "a"})", [&](const Descriptor& peer) { reply = read_all(peer); });
  EXPECT_EQ(reply.rfind("HTTP/1.1 500 ", 0), 0u) << reply;
  EXPECT_EQ(reply.find("broken"), std::string::npos) << reply;
  EXPECT_EQ(records.front().code, "500");
  EXPECT_STREQ(records.front().api, "completions");
  EXPECT_EQ(records.front().cause, "submit is broken");
}

TEST_F(HttpServerTest, MemoryThatEndsIsNoBugAndAskingLaterHelps) {
  engine.no_memory = true;
  std::string reply;
  ask(R"({"prompt": "a"})", [&](const Descriptor& peer) { reply = read_all(peer); });
  EXPECT_EQ(reply.rfind("HTTP/1.1 429 ", 0), 0u) << reply;
  EXPECT_NE(reply.find("\r\nRetry-After: "), std::string::npos) << reply;
  EXPECT_NE(reply.find("\"memory_exhausted\""), std::string::npos) << reply;
  EXPECT_EQ(records.front().code, "429");
  EXPECT_EQ(records.front().reason, "memory_exhausted");
  EXPECT_STREQ(records.front().api, "completions");
}

TEST_F(HttpServerTest, AnExceptionInTheMidstOfAStreamDoesNotCountAsItsClientsGoing) {
  ask(R"({"prompt": "a", "stream": true})", [](const Descriptor& peer) {
    std::string got;
    while (got.find("data: ") == std::string::npos) {
      char byte = 0;
      ASSERT_EQ(::recv(peer.get(), &byte, 1, 0), 1) << got;
      got += byte;
    }
  });
  EXPECT_EQ(records.front().code, "500");
  EXPECT_EQ(records.front().cause, "cancel is broken");
}

}  // namespace
}  // namespace troupe::services::http
