// The CAF side: the polled loop serves mail and deadlines; sessions and the director on virtual
// time, without threads.
#include <gtest/gtest.h>

#include <caf/scheduler/test_coordinator.hpp>

#include "actors/director/spawn_director.hpp"
#include "actors/spawn_roles.hpp"
#include "tests/support/actor_fakes.hpp"
#include "tests/support/actor_listener.hpp"

namespace troupe::actors {
namespace {

using testing::Recorder;

// --- the polled loop, on its own thread -----------------------------------------------------

using EchoActor =
    caf::typed_actor<caf::replies_to<submit_atom, int>::with<int>, caf::reacts_to<stop_atom>>;

/// What the loop of an EchoActor did, seen from outside.
struct LoopLog {
  std::atomic<int> polls{0};
  std::atomic<std::thread::id> last_poll{};
  std::atomic<int> deadlines_met{0};
  std::atomic<bool> began{false};
  std::atomic<bool> ended{false};
};

class Echo : public polled_actor<EchoActor::base> {
 public:
  Echo(caf::actor_config& config, PollSettings poll, std::shared_ptr<transport::Doorbell> bell,
       std::shared_ptr<LoopLog> log)
      : polled_actor(config, poll, *bell), bell_(std::move(bell)), log_(std::move(log)) {}

 protected:
  behavior_type make_behavior() override {
    return {[](submit_atom, int value) { return value; }, [this](stop_atom) { leave_ = true; }};
  }
  bool poll() override {
    ++log_->polls;
    log_->last_poll = std::this_thread::get_id();
    if (leave_) quit();
    if (log_->deadlines_met < 3 && LoopClock::now() >= next_) {
      ++log_->deadlines_met;
      next_ = LoopClock::now() + std::chrono::milliseconds(2);
      return true;
    }
    return false;
  }
  bool arm() override { return true; }
  std::optional<LoopClock::time_point> next_deadline() const override {
    if (log_->deadlines_met >= 3) return std::nullopt;
    return next_;
  }
  void thread_begins() override { log_->began = true; }
  void thread_ends() override { log_->ended = true; }

 private:
  std::shared_ptr<transport::Doorbell> bell_;
  std::shared_ptr<LoopLog> log_;
  LoopClock::time_point next_{};
  bool leave_ = false;
};

struct PolledActor : ::testing::TestWithParam<int> {
  EchoActor spawn() {
    return system.spawn<Echo>(PollSettings{std::chrono::microseconds(GetParam())}, bell, log);
  }
  std::shared_ptr<LoopLog> log = std::make_shared<LoopLog>();
  std::shared_ptr<transport::Doorbell> bell = std::make_shared<transport::Doorbell>();
  struct ThreadsEnd {  // declared before the system, so it runs after its end
    ~ThreadsEnd() { mark_acquire(system); }
    caf::actor_system* system;
  };
  caf::actor_system_config config;
  ThreadsEnd threads_end{&system};
  caf::actor_system system{config.set("scheduler.max-threads", 1u)};
};

TEST_P(PolledActor, AnswersMailWhetherItSleepsOrNot) {
  auto echo = spawn();
  caf::scoped_actor self{system};
  for (int i = 0; i < 200; ++i) {
    int answer = -1;
    self->request(echo, std::chrono::seconds(60), submit_atom_v, i)
        .receive([&](int value) { answer = value; }, [](const caf::error&) {});
    ASSERT_EQ(answer, i);
  }
  self->send_exit(echo, caf::exit_reason::user_shutdown);
  self->wait_for(echo);
}

TEST_P(PolledActor, MeetsItsDeadlinesWithoutMail) {
  auto echo = spawn();
  caf::scoped_actor self{system};
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (log->deadlines_met < 3 && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  EXPECT_EQ(log->deadlines_met, 3);
  self->send_exit(echo, caf::exit_reason::user_shutdown);
  self->wait_for(echo);
}

TEST_P(PolledActor, NoticesAQuitOutsideOfAHandlerAndEndsItsThread) {
  auto echo = spawn();
  {
    caf::scoped_actor self{system};
    self->send(echo, stop_atom_v);
    self->wait_for(echo);
  }
  echo = nullptr;
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!log->ended && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_TRUE(log->began);
  EXPECT_TRUE(log->ended);
}

TEST_P(PolledActor, RefusesRequestsAfterItsEnd) {
  auto echo = spawn();
  caf::scoped_actor self{system};
  self->send_exit(echo, caf::exit_reason::kill);
  self->wait_for(echo);
  bool refused = false;
  self->request(echo, std::chrono::seconds(60), submit_atom_v, 1)
      .receive([](int) {}, [&](const caf::error&) { refused = true; });
  EXPECT_TRUE(refused);
}

TEST_P(PolledActor, LetsWhoeverHasWorkForItMakeItsPass) {
  auto echo =
      system.spawn<Echo>(PollSettings{std::chrono::microseconds(GetParam()), true}, bell, log);
  const auto self_id = std::this_thread::get_id();
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (log->last_poll != self_id && std::chrono::steady_clock::now() < until) {
    const transport::Visits visits;
    bell->knock();
  }
  EXPECT_EQ(log->last_poll, self_id);
  caf::scoped_actor self{system};
  int answer = -1;
  self->request(echo, std::chrono::seconds(60), submit_atom_v, 7)
      .receive([&](int value) { answer = value; }, [](const caf::error&) {});
  EXPECT_EQ(answer, 7) << "mail stays with its own thread";
  self->send_exit(echo, caf::exit_reason::user_shutdown);
  self->wait_for(echo);
  const int polls = log->polls;
  {
    const transport::Visits visits;
    bell->knock();
  }
  EXPECT_EQ(log->polls, polls) << "nobody visits a loop that has ended";
}

INSTANTIATE_TEST_SUITE_P(Spinning, PolledActor, ::testing::Values(0, 50, 2000));

// --- ordinary actors under the test coordinator ----------------------------------------------

struct TestConfig : caf::actor_system_config {
  TestConfig() { set("scheduler.policy", caf::atom("testing")); }
};

/// Stands in for the gateway: writes down what sessions ask of it.
struct FakeGatewayLog {
  std::vector<SubmitOrder> orders;
  std::vector<RequestId> cancelled;
};
GatewayActor::behavior_type fake_gateway(GatewayActor::pointer self,
                                         std::shared_ptr<FakeGatewayLog> log) {
  return testing::with_no_links<GatewayActor>(
      [](const PlacementPtr&) {}, [](open_atom, const OpenOrder&) {},
      [log](submit_atom, const SubmitOrder& order) { log->orders.push_back(order); },
      [log](cancel_atom, RequestId request) { log->cancelled.push_back(request); },
      [self](stop_atom) { self->quit(); }, [](status_atom) { return GatewayStatus{}; });
}

struct OnVirtualTime : ::testing::Test {
  ~OnVirtualTime() override { settle(); }
  void settle() {
    while (scheduler.try_run_once() || scheduler.trigger_timeout()) continue;
  }
  TestConfig config;
  caf::actor_system system{config};
  caf::scheduler::test_coordinator& scheduler =
      dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
};

struct Sessions : OnVirtualTime {
  ~Sessions() override {
    caf::anon_send_exit(gateway, caf::exit_reason::user_shutdown);
    settle();
  }
  SessionActor open(GenerateRequest request) {
    auto session = spawn_session(
        system, gateway, {7, std::make_shared<GenerateRequest>(std::move(request)), heard}, 2);
    scheduler.run();
    return session;
  }
  static GenerateRequest request(std::int32_t max_tokens) {
    GenerateRequest request;
    request.prompt = {1, 2};
    request.sampling.max_tokens = max_tokens;
    return request;
  }
  static TokensNote token(std::uint32_t attempt, std::uint32_t position, std::int32_t id) {
    TokensNote note;
    note.attempt = attempt;
    note.entries = {{position, id, -0.5f}};
    return note;
  }
  template <class Note>
  void tell(const SessionActor& session, Note note) {
    caf::anon_send(session, std::move(note));
    scheduler.run();
  }
  std::shared_ptr<FakeGatewayLog> log = std::make_shared<FakeGatewayLog>();
  std::shared_ptr<Recorder> heard = std::make_shared<Recorder>();
  GatewayActor gateway = system.spawn(fake_gateway, log);
};

TEST_F(Sessions, SubmitPassTokensOnAndEnd) {
  auto session = open(request(2));
  ASSERT_EQ(log->orders.size(), 1u);
  EXPECT_EQ(log->orders[0].tokens, (std::vector<std::int32_t>{1, 2}));
  tell(session, token(0, 2, 50));
  auto last = token(0, 3, 51);
  last.finish = FinishReason::length;
  tell(session, last);
  EXPECT_EQ(heard->tokens, (std::vector<std::int32_t>{50, 51}));
  EXPECT_TRUE(heard->finished());
  tell(session, token(0, 4, 52));  // it is gone
  EXPECT_EQ(heard->tokens.size(), 2u);
}

TEST_F(Sessions, ReplayPromptAndTokensWhenTheShardIsLost) {
  auto session = open(request(5));
  tell(session, token(0, 2, 50));
  tell(session, BrokenNote{0, true, {Errc::unavailable, "lost"}});
  ASSERT_EQ(log->orders.size(), 2u);
  EXPECT_EQ(log->orders[1].attempt, 1u);
  EXPECT_EQ(log->orders[1].tokens, (std::vector<std::int32_t>{1, 2, 50}));
  tell(session, token(0, 3, 60));  // of the old attempt: stale
  tell(session, token(1, 3, 51));
  EXPECT_EQ(heard->tokens, (std::vector<std::int32_t>{50, 51}));
  tell(session, BrokenNote{1, true, {Errc::unavailable, "lost again"}});  // two attempts at most
  EXPECT_EQ(heard->error.detail, "lost again");
}

TEST_F(Sessions, EndWellWhenOnlyTheLastWordWasLost) {
  auto session = open(request(1));
  tell(session, token(0, 2, 50));
  tell(session, BrokenNote{0, true, {Errc::unavailable, "lost"}});
  EXPECT_EQ(heard->reason, FinishReason::length);
  EXPECT_EQ(log->orders.size(), 1u);
}

TEST_F(Sessions, PassErrorsOnWithoutAskingAgain) {
  auto session = open(request(5));
  tell(session, BrokenNote{0, false, {Errc::overloaded, "full"}});
  EXPECT_EQ(heard->reason, FinishReason::error);
  EXPECT_EQ(heard->error.code, Errc::overloaded);
  EXPECT_EQ(log->cancelled, std::vector<RequestId>{7});
}

TEST_F(Sessions, EndByTheirDeadlineWhenTheShardDoesNot) {
  auto asked = request(5);
  asked.deadline = std::chrono::seconds(5);
  auto session = open(asked);
  EXPECT_TRUE(log->orders[0].remaining.has_value());
  EXPECT_FALSE(heard->finished());
  settle();  // fires the timer
  EXPECT_EQ(heard->error.code, Errc::deadline_exceeded);
  EXPECT_EQ(log->cancelled, std::vector<RequestId>{7});
}

TEST_F(Sessions, LeaveNothingInMemoryHoweverFarTheirDeadline) {
  auto asked = request(1);
  asked.deadline = std::chrono::hours(1);
  auto session = open(asked);
  const auto left = caf::actor_cast<caf::weak_actor_ptr>(session);
  auto last = token(0, 2, 50);
  last.finish = FinishReason::length;
  tell(std::exchange(session, nullptr), last);
  ASSERT_TRUE(heard->finished());
  scheduler.trigger_timeout();  // the one that was set
  scheduler.run();
  EXPECT_FALSE(scheduler.trigger_timeout()) << "an ended session sets another timer";
  EXPECT_EQ(left.get()->strong_refs, 0u);
  EXPECT_EQ(left.get()->weak_refs, 1u) << "the gateway remembers it";
}

TEST_F(Sessions, EndAsCancelledWhenWithdrawn) {
  auto session = open(request(5));
  caf::anon_send(session, cancel_atom_v);
  scheduler.run();
  EXPECT_EQ(heard->reason, FinishReason::cancelled);
}

TEST_F(Sessions, EndAsUnavailableWithTheirGateway) {
  auto session = open(request(5));
  caf::anon_send_exit(gateway, caf::exit_reason::kill);
  scheduler.run();
  EXPECT_EQ(heard->error.code, Errc::unavailable);
}

RouterActor::behavior_type fake_router(RouterActor::pointer,
                                       std::shared_ptr<std::vector<PlacementPtr>> adopted) {
  return testing::with_no_links<RouterActor>(
      [adopted](const PlacementPtr& next) { adopted->push_back(next); },
      [](status_atom) { return RouterStatus{}; });
}

TEST_F(OnVirtualTime, TheDirectorTellsItsFollowersEveryPlacement) {
  model::ModelConfig config;
  config.num_layers = 2;
  config.first_k_dense = 1;
  config.routed_experts = 4;
  DirectorSettings settings;
  settings.lost_after = {};
  auto director = spawn_local_director(system, DirectorCore(config, settings, {}));
  auto adopted = std::make_shared<std::vector<PlacementPtr>>();
  auto router = system.spawn(fake_router, adopted);
  caf::anon_send(director, follow_atom_v, router);
  scheduler.run();
  EXPECT_TRUE(adopted->empty());
  for (const auto role : {proto::Role::expert, proto::Role::router, proto::Role::attention}) {
    EXPECT_TRUE(adopted->empty());
    Announcement announcement;
    announcement.peer = peer_id(role, 0);
    announcement.incarnation = 1;
    announcement.state = MemberState::active;
    announcement.expert_ranks = 1;
    announcement.experts = {0, 4};
    caf::anon_send(director, announce_atom_v, announcement);
    scheduler.run();
  }
  ASSERT_EQ(adopted->size(), 1u);
  caf::anon_send(director, newest_atom_v, router);
  scheduler.run();
  EXPECT_EQ(adopted->size(), 2u);
  EXPECT_EQ((*adopted)[1], (*adopted)[0]);
  caf::anon_send(director, publish_atom_v, PlacementNote{(*adopted)[0]});
  scheduler.run();
  ASSERT_EQ(adopted->size(), 3u);
  EXPECT_EQ((*adopted)[2]->placement.epoch, 2u);
  caf::anon_send_exit(router, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(director, caf::exit_reason::user_shutdown);
  scheduler.run();
}

}  // namespace
}  // namespace troupe::actors
