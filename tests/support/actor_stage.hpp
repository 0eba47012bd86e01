// A whole cluster on one thread and virtual time: roles without CAF, faults on demand.
#pragma once
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/attention/attention_role.hpp"
#include "actors/director/director_core.hpp"
#include "actors/expert/expert_role.hpp"
#include "actors/gateway/gateway_role.hpp"
#include "actors/router/router_role.hpp"
#include "tests/support/actor_listener.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::actors::testing {

using namespace std::chrono_literals;

inline PeerId gateway_id() { return peer_id(proto::Role::gateway, 0); }
inline PeerId attention_id(std::uint32_t i) { return peer_id(proto::Role::attention, i); }
inline PeerId router_id(std::uint32_t i) { return peer_id(proto::Role::router, i); }
inline PeerId expert_id(std::uint32_t i) { return peer_id(proto::Role::expert, i); }

/// The model every stage computes, loaded once: v3-mini in mode bf16.
struct StageModel {
  model::Checkpoint checkpoint;
  model::Numerics numerics;
  kernels::ComputePool pool{{.threads = 1}};
  kernels::Engine engine;
  std::shared_ptr<const model::AttentionModel> attention;
  std::shared_ptr<const model::RouterModel> router;

  static StageModel& get() {
    static StageModel model;
    return model;
  }
  std::shared_ptr<const model::ExpertModel> experts(model::ExpertModel::Range range) {
    auto loaded = model::ExpertModel::load(checkpoint, numerics, engine, range);
    EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().detail);
    return std::make_shared<const model::ExpertModel>(std::move(*loaded));
  }
  const model::ModelConfig& config() const { return checkpoint.config(); }

 private:
  StageModel()
      : checkpoint(std::move(*model::Checkpoint::open(std::string(troupe::kSourceDir) +
                                                      "/tests/goldens/v3-mini/model"))),
        engine{*kernels::select_level("auto"), &pool} {
    attention = std::make_shared<const model::AttentionModel>(
        std::move(*model::AttentionModel::load(checkpoint, numerics, engine)));
    router = std::make_shared<const model::RouterModel>(
        std::move(*model::RouterModel::load(checkpoint, numerics, engine)));
  }
};

struct StageOptions {
  int experts = 1;
  int attention = 1;
  int routers = 1;
  std::vector<model::ExpertModel::Range> ranges;  // empty: the static ones
  AttentionSettings shard;
  RouterSettings router;
  ExpertSettings expert;
  GatewaySettings gateway;
  transport::CreditGrant grant = PeersSettings{}.grant;
  std::uint32_t attempts_max = 3;
  std::chrono::microseconds inline_us_max{0};  // so that jobs are under way between two steps
  std::function<void(PeerId, const ComputeLane::Work&)> run_job;  // in place of running it
  std::map<std::pair<PeerId, PeerId>, std::shared_ptr<transport::FaultPlan>> faults;

  StageOptions() {
    shard.kv_pages_max = 64;
    shard.batch.pages.idle_pages_max = 64;
    shard.hop_budget = router.hop_budget = 2s;
    shard.uncovered_budget = router.uncovered_budget = 500ms;
    gateway.lease = 10s;
    gateway.silence_budget = 8s;
    gateway.lease_period = 1s;
  }
};

/// Drives everything from `run_until`: when nobody has anything to do, time jumps to the next
/// deadline, so budgets pass without waiting.
class Stage : public GatewayRole::Sink {
 public:
  explicit Stage(StageOptions options) : options_(std::move(options)) {
    for (const auto& [link, plan] : options_.faults)
      wire_->set_faults(link.first, link.second, plan);
    make_roles();
    link_all();
    publish(
        model::static_placement(config().num_layers, config().routed_experts, options_.experts));
    EXPECT_TRUE(run_until([this] { return all_joined(); }));
  }
  ~Stage() override { run_jobs(); }  // the roles wait for theirs

  std::shared_ptr<Recorder> submit(GenerateRequest request) {
    auto heard = std::make_shared<Recorder>();
    const RequestId id = ++last_request_;
    auto core =
        std::make_unique<SessionCore>(id, std::move(request), heard, options_.attempts_max, now_);
    auto& session = sessions_[id] = std::move(core);
    send(*session);
    return heard;
  }
  void cancel(RequestId id) {
    gateway->cancel(id);
    sessions_.at(id)->give_up(FinishReason::cancelled, {Errc::cancelled, ""}, now_);
  }
  RequestId last_request() const { return last_request_; }

  /// False when the stage comes to rest, or runs away, without it.
  template <class Condition>
  bool run_until(Condition condition) {
    for (int pass = 0; pass < 200000; ++pass) {
      if (condition()) return true;
      if (step()) continue;
      if (!advance_time()) return condition();
    }
    return false;
  }
  bool run(const std::shared_ptr<Recorder>& heard) {
    return run_until([&] { return heard->finished(); });
  }
  /// Lets `time` pass with whatever is under way.
  void rest(Clock::duration time) {
    now_ += time;
    step();
  }

  /// The role dies: its links break without a goodbye.
  void lose(PeerId id) {
    switch (role_of(id)) {
      case proto::Role::attention: return kill(shards.at(index_of(id)));
      case proto::Role::router: return kill(routers.at(index_of(id)));
      case proto::Role::expert: return kill(experts.at(index_of(id)));
      case proto::Role::gateway: return kill(gateway);
    }
  }
  /// Another life of an expert shard that was lost; every router links to it.
  void bring_back(std::uint32_t expert) {
    experts.at(expert) = make_expert(static_cast<int>(expert));
    for (auto& router : routers)
      if (router) link(*router, *experts[expert]);
  }
  /// Another life of a router that was lost, with other credits to give; it knows the static
  /// placement, and every shard links to it.
  void bring_back(std::uint32_t router, transport::CreditGrant grant) {
    options_.grant = grant;
    routers.at(router) = make_router(router);
    for (auto& expert : experts) link(*routers[router], *expert);
    for (auto& shard : shards) link(*shard, *routers[router]);
    publish(
        model::static_placement(config().num_layers, config().routed_experts, options_.experts));
  }
  /// What the director says of the peers of `role`.
  PeerStandings& standings(PeerId role) { return *standings_.at(role); }
  /// The same placement to all routers, unchecked.
  void publish(model::Placement placement, bool quantised = false) {
    auto shared =
        std::make_shared<PublishedPlacement>(PublishedPlacement{std::move(placement), quantised});
    for (auto& router : routers)
      if (router) router->adopt(shared);
  }

  const model::ModelConfig& config() { return model_.config(); }
  TimePoint now() const { return now_; }
  RoleContext context(proto::Role role, std::uint32_t index) {
    RoleContext context;
    context.credentials.role = role;
    context.credentials.index = index;
    context.credentials.identity = {11, 22, 1000 + peer_id(role, index)};
    context.credentials.join_token[0] = std::byte{7};
    context.peers.grant = options_.grant;
    context.inline_us_max = options_.inline_us_max;
    context.wire = wire_;
    context.compute = [this, self = peer_id(role, index)](ComputeLane::Work job) {
      if (options_.run_job)
        jobs_.push_back([this, self, job = std::move(job)] { options_.run_job(self, job); });
      else
        jobs_.push_back(std::move(job));
      return true;
    };
    context.engine = model_.engine;
    standings_[peer_id(role, index)] = context.standings;
    return context;
  }
  LocalWire& wire() { return *wire_; }

  std::unique_ptr<GatewayRole> gateway;
  std::vector<std::unique_ptr<AttentionRole>> shards;
  std::vector<std::unique_ptr<RouterRole>> routers;
  std::vector<std::unique_ptr<ExpertRole>> experts;

 private:
  void make_roles() {
    options_.router.numerics = options_.expert.numerics = model_.numerics;
    gateway =
        std::make_unique<GatewayRole>(context(proto::Role::gateway, 0), options_.gateway, *this);
    for (int i = 0; i < options_.attention; ++i)
      shards.push_back(std::make_unique<AttentionRole>(context(proto::Role::attention, i),
                                                       options_.shard, model_.attention));
    for (int i = 0; i < options_.routers; ++i) routers.push_back(make_router(i));
    for (int i = 0; i < options_.experts; ++i) experts.push_back(make_expert(i));
  }
  std::unique_ptr<RouterRole> make_router(std::uint32_t i) {
    return std::make_unique<RouterRole>(context(proto::Role::router, i), options_.router,
                                        model_.router);
  }
  std::unique_ptr<ExpertRole> make_expert(int i) {
    const auto range = options_.ranges.empty() ? model::ExpertModel::range_of(
                                                     i, options_.experts, config().routed_experts)
                                               : options_.ranges.at(i);
    return std::make_unique<ExpertRole>(context(proto::Role::expert, i), options_.expert,
                                        model_.experts(range));
  }
  void link(Role& from, Role& to) {
    auto pair = wire_->connect(from.self(), to.self());
    from.peers().add(to.self(), std::move(pair.a), true, now_, {});
    to.peers().add(from.self(), std::move(pair.b), false, now_, {});
  }
  void link_all() {
    for (auto& router : routers)
      for (auto& expert : experts) link(*router, *expert);
    for (auto& shard : shards)
      for (auto& router : routers) link(*shard, *router);
    for (auto& shard : shards) link(*gateway, *shard);
  }
  bool all_joined() {
    bool all = true;
    for (auto& shard : shards) {
      all &= gateway->peers().joined(shard->self());
      for (auto& router : routers) all &= shard->peers().joined(router->self());
    }
    for (auto& router : routers)
      for (auto& expert : experts) all &= router->peers().joined(expert->self());
    return all;
  }

  template <class Visit>
  void each_role(Visit visit) {
    if (gateway) visit(*gateway);
    for (auto& role : shards)
      if (role) visit(*role);
    for (auto& role : routers)
      if (role) visit(*role);
    for (auto& role : experts)
      if (role) visit(*role);
  }
  bool step() {
    bool busy = false;
    each_role([&](Role& role) { busy |= role.poll(now_); });
    return run_jobs() || busy;
  }
  bool run_jobs() {
    const bool busy = !jobs_.empty();
    while (!jobs_.empty()) {
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      job();
    }
    return busy;
  }
  bool advance_time() {
    std::optional<TimePoint> next;
    each_role([&](Role& role) {
      const auto deadline = role.next_deadline();
      if (deadline && (!next || *deadline < *next)) next = deadline;
    });
    if (!next) return false;
    now_ = std::max(now_ + 1us, *next);
    return true;
  }
  template <class RoleT>
  void kill(std::unique_ptr<RoleT>& role) {
    run_jobs();  // those under way end; their outcome dies with the role
    role.reset();
  }
  void send(SessionCore& session) {
    const auto order = session.order(now_);
    if (auto sent = gateway->submit(order, now_); !sent)
      follow(session, session.on_broken({order.attempt, false, sent.error()}, now_));
  }
  void follow(SessionCore& session, SessionCore::Next next) {
    if (next == SessionCore::Next::submit_again) send(session);
  }
  void on_tokens(RequestId request, TokensNote note) override {
    auto& session = *sessions_.at(request);
    follow(session, session.on_tokens(note, now_));
  }
  void on_logits(RequestId request, LogitsNote note) override {
    auto& session = *sessions_.at(request);
    follow(session, session.on_logits(note));
  }
  void on_prompt_logprobs(RequestId request, PromptLogprobsNote note) override {
    auto& session = *sessions_.at(request);
    follow(session, session.on_prompt_logprobs(note));
  }
  void on_broken(RequestId request, BrokenNote note) override {
    auto& session = *sessions_.at(request);
    follow(session, session.on_broken(note, now_));
  }

  StageModel& model_ = StageModel::get();
  StageOptions options_;
  std::shared_ptr<LocalWire> wire_ = std::make_shared<LocalWire>();
  std::map<PeerId, std::shared_ptr<PeerStandings>> standings_;
  std::deque<ComputeLane::Work> jobs_;
  std::map<RequestId, std::unique_ptr<SessionCore>> sessions_;
  RequestId last_request_ = 0;
  TimePoint now_{std::chrono::hours(1)};
};

inline std::vector<std::int32_t> counting_prompt(int length) {
  std::vector<std::int32_t> prompt;
  for (int i = 0; i < length; ++i) prompt.push_back((7 * i + 3) % 128);
  return prompt;
}

}  // namespace troupe::actors::testing
