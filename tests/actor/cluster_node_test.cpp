// Nodes over loopback: the same bits as in one process, recovery of each role, named refusals.
#include "actors/node/cluster_node.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <numeric>

#include "actors/control/doorkeeper.hpp"
#include "actors/node/node_identity.hpp"
#include "tests/support/node_cluster.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::actors {
namespace {

using testing::EventLog;
using testing::eventually;
using testing::greedy_request;
using testing::Recorder;
using namespace std::chrono_literals;

const model::Checkpoint& tiny() {
  static const troupe::testing::TempDir dir;
  static const auto checkpoint = [] {
    troupe::testing::TinyCheckpoint().write(dir.path());
    return model::Checkpoint::open(dir.path());
  }();
  EXPECT_TRUE(checkpoint) << (checkpoint ? "" : checkpoint.error().detail);
  return *checkpoint;
}

GenerateRequest request() {
  auto request = greedy_request({5, 6, 7, 8, 9}, 12);
  request.generated_logits = true;
  return request;
}

/// What LocalCluster says to request().
const Recorder& calm() {
  static const auto heard = [] {
    auto cluster = LocalCluster::start(tiny(), {.experts = 2, .threads = 1});
    EXPECT_TRUE(cluster);
    auto heard = std::make_shared<Recorder>();
    EXPECT_TRUE((*cluster)->submit(request(), heard));
    EXPECT_TRUE(heard->wait());
    return heard;
  }();
  return *heard;
}

struct Nodes : ::testing::Test {
  static void SetUpTestSuite() {
    // UCX opens a peer's shared memory as /proc/PID/fd/N. Nodes that share a process get each
    // other's numbers when one of them ends, so names take their place here.
    ::setenv("UCX_POSIX_USE_PROC_LINK", "n", 1);
  }
  ~Nodes() override {
    if (HasFailure()) printf("%s", log.text().c_str());
  }
  NodeSettings settings(proto::Role role, std::uint32_t index = 0) const {
    NodeSettings settings;
    settings.role = role;
    settings.index = index;
    settings.expert_ranks = 2;
    settings.control_listen = {"127.0.0.1", port};
    settings.routers = {{"127.0.0.1", port}};
    settings.join_token = "secret";
    settings.transport = transport;
    settings.engine.threads = 1;
    settings.engine.uncovered_budget = uncovered_budget;
    settings.lost_after = 60s;  // sanitizers and busy machines included
    return settings;
  }
  std::unique_ptr<ClusterNode> start(const NodeSettings& settings, NodeHooks hooks = {}) {
    hooks.on_event = log.sink(name_of(peer_id(settings.role, settings.index)));
    auto node = ClusterNode::start(tiny(), settings, std::move(hooks));
    EXPECT_TRUE(node) << (node ? "" : node.error().detail);
    return node ? std::move(*node) : nullptr;
  }
  void start_router() {
    router = start(settings(proto::Role::router));
    port = router->control_port();
  }
  void start_all() {
    start_router();
    for (std::uint32_t rank = 0; rank < 2; ++rank)
      experts[rank] = start(settings(proto::Role::expert, rank));
    attention = start(settings(proto::Role::attention));
    gateway = start(settings(proto::Role::gateway));
    ASSERT_TRUE(ready());
  }
  bool ready() {
    return eventually([&] { return gateway->readiness().ready(); });
  }
  std::shared_ptr<Recorder> generate() {
    auto heard = std::make_shared<Recorder>();
    const auto id = gateway->submit(request(), heard);
    EXPECT_TRUE(id) << (id ? "" : id.error().detail);
    if (id) {
      EXPECT_TRUE(heard->wait());
    }
    return heard;
  }
  void expect_calm(const Recorder& heard) {
    EXPECT_EQ(heard.reason, FinishReason::length) << heard.error.detail;
    EXPECT_EQ(heard.tokens, calm().tokens);
    EXPECT_EQ(heard.logprob_bits, calm().logprob_bits);
    EXPECT_EQ(heard.generated_logits, calm().generated_logits);
  }
  /// Whether its probe has something against `name`.
  static bool lacks(ClusterNode& node, const std::string& name) {
    for (const auto& check : node.checks())
      if (check.name == name) return !check.lack.empty();
    return false;
  }
  std::string lanes(ClusterNode& node) {
    std::string all;
    for (const auto& link : node.status().links) all += link.lanes + ";";
    return all;
  }

  EventLog log;
  std::uint16_t port = 0;
  std::chrono::milliseconds uncovered_budget{5000};
  Transport transport = Transport::automatic;
  std::unique_ptr<ClusterNode> router, attention, gateway;
  std::unique_ptr<ClusterNode> experts[2];
};

TEST_F(Nodes, GenerateTheSameBitsAsOneProcessOverTcp) {
  transport = Transport::tcp;
  start_all();
  expect_calm(*generate());
  EXPECT_EQ(lanes(*router), "tcp;tcp;tcp;");
  EXPECT_TRUE(log.has({"expert 1: link_joined", "peer=router 0", "lanes=tcp"}));
  EXPECT_TRUE(log.has({"attention 0: weights_loaded", "copied_bytes="}));
  EXPECT_TRUE(log.has({"gateway 0: weights_loaded", "copied_bytes=0"}));
}

TEST_F(Nodes, GenerateTheSameBitsAsOneProcessOverSharedMemory) {
  transport = Transport::shm;
  start_all();
  expect_calm(*generate());
  EXPECT_NE(lanes(*router).find("posix"), std::string::npos) << lanes(*router);
  EXPECT_FALSE(log.has({"link_fell_back"}));
}

TEST_F(Nodes, ServeAgainWhenAnExpertComesBack) {
  start_all();
  experts[1] = nullptr;
  Readiness now;
  ASSERT_TRUE(eventually([&] { return !(now = gateway->readiness()).ready(); }));
  ASSERT_TRUE(eventually([&] {
    now = gateway->readiness();
    return now.detail.find("expert 1 is LOST since ") != std::string::npos;
  })) << now.detail;
  EXPECT_EQ(now.state, Readiness::State::expert_lost);
  ASSERT_TRUE(eventually([&] { return lacks(*router, "link to expert 1"); }));
  experts[1] = start(settings(proto::Role::expert, 1));
  ASSERT_TRUE(ready());
  expect_calm(*generate());
}

TEST_F(Nodes, TakeRequestsWhileAnExpertIsAwayAndAnswerOnceItIsBack) {
  uncovered_budget = 120s;
  start_all();
  experts[1] = nullptr;
  Readiness now;
  ASSERT_TRUE(eventually([&] { return !(now = gateway->readiness()).ready(); }));
  EXPECT_TRUE(now.takes_requests()) << now.detail;
  auto heard = std::make_shared<Recorder>();
  const auto id = gateway->submit(request(), heard);
  ASSERT_TRUE(id) << id.error().detail;
  ASSERT_TRUE(eventually([&] { return lacks(*router, "link to expert 1"); }));
  experts[1] = start(settings(proto::Role::expert, 1));
  ASSERT_TRUE(heard->wait());
  expect_calm(*heard);
}

TEST_F(Nodes, RefuseRequestsOnceAnExpertIsAwayForLongerThanRowsWait) {
  uncovered_budget = 1ms;
  start_all();
  experts[1] = nullptr;
  ASSERT_TRUE(eventually([&] { return !gateway->readiness().takes_requests(); }));
  const auto refused = gateway->submit(request(), std::make_shared<Recorder>());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  EXPECT_NE(refused.error().detail.find("expert 1"), std::string::npos) << refused.error().detail;
}

TEST_F(Nodes, AreNotReadyWithoutTheirLinksAndNameThem) {
  start_router();
  experts[0] = start(settings(proto::Role::expert, 0));
  attention = start(settings(proto::Role::attention));
  gateway = start(settings(proto::Role::gateway));
  ASSERT_TRUE(log.wait_for({"router 0: link_joined", "peer=expert 0"}));
  ASSERT_TRUE(log.wait_for({"attention 0: link_joined", "peer=router 0"}));
  EXPECT_TRUE(lacks(*router, "link to expert 1"));
  EXPECT_TRUE(eventually([&] { return !lacks(*router, "link to expert 0"); }));
  for (auto* node : {router.get(), attention.get(), experts[0].get(), gateway.get()})
    EXPECT_TRUE(lacks(*node, "placement"));
  EXPECT_EQ(gateway->readiness().state, Readiness::State::starting);
  experts[1] = start(settings(proto::Role::expert, 1));
  ASSERT_TRUE(ready());
  for (auto* node : {router.get(), attention.get(), experts[0].get(), experts[1].get()})
    EXPECT_TRUE(eventually([&] { return node->readiness().ready(); })) << node->readiness().detail;
  router = nullptr;
  EXPECT_TRUE(eventually([&] { return lacks(*attention, "link to router 0"); }));
  EXPECT_TRUE(eventually([&] { return lacks(*experts[0], "link to router 0"); }));
  EXPECT_FALSE(attention->readiness().ready());
}

TEST_F(Nodes, LoseNobodyBeforeEverybodyHasCome) {
  start_all();
  attention = nullptr;
  const auto second = start(settings(proto::Role::gateway, 1));
  const auto state = [](const auto& node) { return node->readiness().state; };
  const auto lost = [&] { return state(gateway) == Readiness::State::service_lost; };
  EXPECT_TRUE(eventually(lost)) << gateway->readiness().detail;
  // It knows all but the attention shard.
  const auto detail = [&] { return second->readiness().detail; };
  const auto joined = [&] { return detail().find("attention") == 0; };
  EXPECT_TRUE(eventually(joined)) << detail();
  EXPECT_EQ(state(second), Readiness::State::starting) << detail();
}

TEST_F(Nodes, RejoinARouterThatComesBackAtItsPort) {
  start_all();
  router = nullptr;
  start_router();
  ASSERT_TRUE(log.wait_for({"router 0: cluster_serving"}));
  ASSERT_TRUE(
      eventually([&] { return router->status().links.size() == 3 && router->status().epoch > 0; }));
  ASSERT_TRUE(ready());
  expect_calm(*generate());
}

TEST_F(Nodes, HostAColocatedRouter) {
  auto both = settings(proto::Role::attention);
  both.colocated_router = true;
  attention = start(both);
  port = attention->control_port();
  for (std::uint32_t rank = 0; rank < 2; ++rank)
    experts[rank] = start(settings(proto::Role::expert, rank));
  gateway = start(settings(proto::Role::gateway));
  ASSERT_TRUE(ready());
  expect_calm(*generate());
  EXPECT_NE(lanes(*attention).find("inproc"), std::string::npos) << lanes(*attention);
}

TEST_F(Nodes, RejoinWhenTheirDirectorHadGivenThemUp) {
  auto quick = settings(proto::Role::router);
  quick.lost_after = 400ms;
  quick.beat_idle = 100ms;  // else it loses itself, too, and its return revives the expert
  router = start(quick);
  port = router->control_port();
  auto slow = settings(proto::Role::expert);
  slow.beat_idle = 1500ms;  // silent for longer than its director bears
  experts[0] = start(slow);
  EXPECT_TRUE(log.wait_for({"expert 0: rejoining"})) << log.text();
  log.forget();
  EXPECT_TRUE(log.wait_for({"expert 0: director_joined"})) << log.text();
  EXPECT_TRUE(log.wait_for({"expert 0: link_joined", "peer=router 0"})) << log.text();
}

TEST_F(Nodes, DrainUntilNothingIsOpen) {
  start_all();
  auto heard = std::make_shared<Recorder>();
  ASSERT_TRUE(gateway->submit(request(), heard));
  EXPECT_FALSE(gateway->drained());
  gateway->drain();
  const auto refused = gateway->submit(request(), std::make_shared<Recorder>());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  EXPECT_TRUE(eventually([&] { return gateway->drained(); }));
  EXPECT_TRUE(heard->finished());
  expect_calm(*heard);
}

TEST_F(Nodes, SayWhoIsThere) {
  start_all();
  const auto report = gateway->report();
  ASSERT_TRUE(report) << report.error().detail;
  EXPECT_TRUE(report->serving);
  EXPECT_EQ(report->members.size(), 5u);
  for (const auto& member : report->members)
    EXPECT_EQ(member.entry.state, MemberState::active) << name_of(member.entry.peer);
}

TEST_F(Nodes, SayWhatEachExpertHasComputed) {
  start_all();
  expect_calm(*generate());
  const auto loads = gateway->loads();
  ASSERT_TRUE(loads) << loads.error().detail;
  ASSERT_EQ(loads->size(), 2u);
  for (std::uint32_t rank = 0; rank < 2; ++rank) {
    const auto& load = (*loads)[rank];
    const auto tokens = experts[rank]->status().expert->tokens;
    EXPECT_EQ(load.peer, peer_id(proto::Role::expert, rank));
    EXPECT_EQ(load.pairs, held_columns(tokens, tiny().config().routed_experts, load.experts));
    EXPECT_GT(std::accumulate(load.pairs.begin(), load.pairs.end(), std::int64_t{0}), 0);
    EXPECT_EQ(std::accumulate(load.pairs.begin(), load.pairs.end(), std::int64_t{0}),
              std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0}));
  }
  experts[1].reset();
  EXPECT_TRUE(eventually([&] {
    const auto now = gateway->loads();
    return now && now->size() == 1;
  }));
}

TEST_F(Nodes, NameAControlPortInUse) {
  start_router();
  auto other = ClusterNode::start(tiny(), settings(proto::Role::router));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::unavailable);
  EXPECT_NE(other.error().detail.find("127.0.0.1:" + std::to_string(port)), std::string::npos)
      << other.error().detail;
}

/// Knows the token, and nothing of the control plane.
struct FalseRouter : Nodes {
  void open(const std::vector<std::byte>& words) {
    DoorHooks hooks;
    hooks.on_proved = [this, words](ProvedConnection connection) {
      (void)::send(connection.socket.fd(), words.data(), words.size(), MSG_NOSIGNAL);
      std::lock_guard lock(mutex);
      connections.push_back(std::move(connection));
    };
    const JoinIdentity own{{}, cluster_id_of("troupe"), "troupe", join_key_of("secret")};
    auto opened = Doorkeeper::open({{"127.0.0.1", 0}, own, {}}, std::move(hooks));
    ASSERT_TRUE(opened) << opened.error().detail;
    door = std::move(*opened);
    port = door->port();
    experts[0] = start(settings(proto::Role::expert));
  }
  /// Whether the service has closed the first of its connections.
  bool hung_up_on() {
    std::lock_guard lock(mutex);
    std::byte bytes[256];
    return !connections.empty() &&
           ::recv(connections[0].socket.fd(), bytes, sizeof bytes, MSG_DONTWAIT) == 0;
  }
  std::mutex mutex;
  std::vector<ProvedConnection> connections;
  std::unique_ptr<Doorkeeper> door;
};

TEST_F(FalseRouter, ThatAnnouncesTooLargeAMessageIsHungUpOn) {
  std::vector<std::byte> header(32);
  std::fill_n(header.begin() + 4, 4, std::byte{0xff});
  open(header);
  EXPECT_TRUE(log.wait_for({"expert 0: control_message_oversized", "bytes=4294967295",
                            "address=127.0.0.1:" + std::to_string(port)}));
  EXPECT_TRUE(log.wait_for({"expert 0: director_unreachable"}));
  EXPECT_FALSE(experts[0]->fatal());
}

TEST_F(FalseRouter, ThatSaysNothingMoreIsHungUpOn) {
  open({});
  EXPECT_TRUE(eventually([&] { return hung_up_on(); }));
  EXPECT_TRUE(log.wait_for({"expert 0: director_unreachable", std::to_string(port)}));
  EXPECT_FALSE(experts[0]->fatal());
}

struct Refused : Nodes {
  /// Both sides name `reason`, and the newcomer gives up.
  void expect_refused(const NodeSettings& newcomer, const std::string& reason,
                      NodeHooks hooks = {}) {
    auto node = start(newcomer, std::move(hooks));
    ASSERT_NE(node, nullptr);
    const auto who = name_of(peer_id(newcomer.role, newcomer.index));
    EXPECT_TRUE(log.wait_for({who + ": member_refused", "reason=" + reason}));
    EXPECT_TRUE(log.wait_for({"router 0: member_refused", "reason=" + reason}));
    EXPECT_TRUE(eventually([&] { return node->fatal().has_value(); }));
  }
};

TEST_F(Refused, AWrongJoinToken) {
  start_router();
  auto expert = settings(proto::Role::expert);
  expert.join_token = "guess";
  expect_refused(expert, "token");
}

TEST_F(Refused, AnotherClustersMember) {
  start_router();
  auto expert = settings(proto::Role::expert);
  expert.cluster_name = "other";
  expect_refused(expert, "cluster");
}

TEST_F(Refused, AnotherNumericsId) {
  start_router();
  auto expert = settings(proto::Role::expert);
  expert.engine.mode = model::ActivationMode::f32;
  expect_refused(expert, "numerics");
}

TEST_F(Refused, AnotherKvCache) {
  start_router();
  auto expert = settings(proto::Role::expert);
  expert.engine.kv_cache = model::KvCache::fp8;
  expect_refused(expert, "numerics");
}

TEST_F(Refused, AnotherProtocolVersion) {
  start_router();
  NodeHooks hooks;
  hooks.protocol = proto::VersionRange{7, 9};
  expect_refused(settings(proto::Role::expert), "version", hooks);
}

TEST_F(Refused, AnotherNumberOfRanks) {
  start_router();
  auto expert = settings(proto::Role::expert);
  expert.expert_ranks = 3;
  expect_refused(expert, "ranks");
}

TEST_F(Refused, ASecondHolderOfALiveRank) {
  start_router();
  experts[0] = start(settings(proto::Role::expert));
  ASSERT_TRUE(log.wait_for({"expert 0: director_joined"}));
  auto second = settings(proto::Role::expert);
  second.lost_after = 200ms;  // gives up after two of them
  expect_refused(second, "rank_taken");
}

}  // namespace
}  // namespace troupe::actors
