// What a process of a cluster answers to its front: requests, status, readiness.
#include "actors/node/cluster_node.hpp"

#include <algorithm>
#include <atomic>
#include <new>
#include <system_error>

#include "actors/node/node_process.hpp"
#include "actors/request_checks.hpp"

namespace troupe::actors {
namespace {

constexpr std::chrono::milliseconds kAnswer{2000};

/// Passes everything on and counts itself as open until the request has ended.
class CountedListener final : public RequestListener {
 public:
  CountedListener(std::shared_ptr<RequestListener> listener,
                  std::shared_ptr<std::atomic<std::int64_t>> open)
      : listener_(std::move(listener)), open_(std::move(open)) {
    ++*open_;
  }
  void on_token(const TokenNews& news) override { listener_->on_token(news); }
  void on_started(std::int64_t cached_tokens, Clock::duration queue_time) override {
    listener_->on_started(cached_tokens, queue_time);
  }
  void on_prompt_logprobs(std::int64_t first_position,
                          std::span<const PromptLogprob> logprobs) override {
    listener_->on_prompt_logprobs(first_position, logprobs);
  }
  void on_prompt_progress(std::int64_t done, std::int64_t total) override {
    listener_->on_prompt_progress(done, total);
  }
  void on_prompt_logits(std::int64_t first_position, std::int64_t rows,
                        std::span<const float> logits) override {
    listener_->on_prompt_logits(first_position, rows, logits);
  }
  void on_generated_logits(std::int64_t index, std::span<const float> logits) override {
    listener_->on_generated_logits(index, logits);
  }
  void on_finished(FinishReason reason, const Error& error, const Usage& usage) override {
    listener_->on_finished(reason, error, usage);
    --*open_;
  }

 private:
  std::shared_ptr<RequestListener> listener_;
  std::shared_ptr<std::atomic<std::int64_t>> open_;
};

/// Whether rows of requests wait for what is missing: an attention shard has them then.
bool waits_for(const Lack& lack) {
  const bool service = lack.kind == Lack::Kind::service;
  if (lack.leaves || (!service && lack.kind != Lack::Kind::link)) return false;
  const auto role = role_of(lack.peer);
  return role == proto::Role::expert || (service && role == proto::Role::router);
}

class Node final : public ClusterNode {
 public:
  Node(const model::Checkpoint& checkpoint, const NodeSettings& settings, NodeHooks hooks)
      : process_(checkpoint, settings, std::move(hooks)),
        uncovered_budget_(settings.engine.uncovered_budget) {}

  Expected<void> begin() {
    if (auto opened = process_.open(); !opened) return opened;
    return process_.load();
  }

  Expected<RequestId> submit(GenerateRequest request,
                             std::shared_ptr<RequestListener> listener) override;
  void cancel(RequestId request) override {
    if (process_.gateway) caf::anon_send(process_.gateway, cancel_atom_v, request);
  }
  Readiness readiness() const override;
  std::vector<NodeCheck> checks() const override;
  std::uint64_t numerics_id() const override { return process_.numerics_id; }
  std::uint16_t control_port() const override { return process_.control_port; }
  NodeStatus status() const override;
  Expected<ClusterReport> report() const override;
  Expected<std::vector<ExpertLoad>> loads() const override;
  void drain() override {
    draining_ = true;
    process_.set_state(MemberState::draining);
  }
  bool drained() const override;
  std::optional<Error> fatal() const override {
    for (const auto& one : process_.members)
      if (auto fatal = one.view->get().fatal) return fatal;
    return std::nullopt;
  }

 private:
  const HostedMember& front() const { return process_.members.front(); }
  Lacks lacks() const;

  NodeProcess process_;
  std::chrono::milliseconds uncovered_budget_;
  std::atomic<RequestId> next_request_{1};
  std::atomic<bool> draining_{false};
  mutable std::atomic<bool> was_ready_{false};  // nobody is lost before everybody has come
  std::shared_ptr<std::atomic<std::int64_t>> open_ =
      std::make_shared<std::atomic<std::int64_t>>(0);  // requests
};

/// Of all roles here, each once.
Lacks Node::lacks() const {
  Lacks lacks;
  for (const auto& one : process_.members)
    for (auto& lack : one.view->get().lacks) {
      const bool said = std::any_of(lacks.begin(), lacks.end(), [&](const Lack& other) {
        return name_of(other) == name_of(lack);
      });
      if (!said) lacks.push_back(std::move(lack));
    }
  // The agent looks at links a few times a second; a gateway that has just lost its last one knows.
  const bool gateway = process_.settings.role == proto::Role::gateway;
  const auto& pulse = *front().context.role.pulse;
  if (gateway && lacks.empty() && pulse.joined().empty()) {
    const auto peer = pulse.last_lost();
    lacks.push_back({Lack::Kind::link, peer,
                     peer == 0 ? "no attention shard is linked" : "was lost a moment ago",
                     std::nullopt});
  }
  return lacks;
}

Readiness Node::readiness() const {
  using State = Readiness::State;
  const auto view = front().view->get();
  if (view.fatal) return {State::starting, view.fatal->detail};
  if (draining_) return {State::draining, "draining: no new work is taken"};
  if (view.state != MemberState::active) return {State::starting, "loading the model"};
  const auto missing = lacks();
  if (missing.empty()) {
    was_ready_ = true;
    return {};
  }
  const auto now = Clock::now();
  // Rows wait so long for an expert; a request that begins meanwhile need not be sent away.
  const bool young = view.unserved_since && now - *view.unserved_since < uncovered_budget_;
  Readiness no{State::service_lost, text_of(missing, now), young};
  for (const auto& lack : missing) {
    const bool service = lack.kind == Lack::Kind::service;
    no.waits = no.waits && waits_for(lack);
    if (service && role_of(lack.peer) == proto::Role::expert && no.state != State::starting)
      no.state = State::expert_lost;
    if (lack.kind == Lack::Kind::admission || lack.kind == Lack::Kind::placement)
      no.state = State::starting;
  }
  if (no.state == State::service_lost && !was_ready_) no.state = State::starting;
  return no;
}

std::vector<NodeCheck> Node::checks() const {
  const auto view = front().view->get();
  if (view.fatal) return {{"cluster", view.fatal->detail}};
  if (view.state == MemberState::loading) return {{"cluster", "loading the model"}};
  const auto missing = lacks();
  const auto lacking = [&](Lack::Kind kind) {
    return std::any_of(missing.begin(), missing.end(),
                       [kind](const Lack& lack) { return lack.kind == kind; });
  };
  std::vector<NodeCheck> checks;
  if (!lacking(Lack::Kind::admission) && !lacking(Lack::Kind::service))
    checks.push_back({"cluster", {}});
  if (!lacking(Lack::Kind::placement)) checks.push_back({"placement", {}});
  if (!lacking(Lack::Kind::link)) checks.push_back({"links", {}});
  for (const auto& lack : missing) checks.push_back({name_of(lack), reason_of(lack, Clock::now())});
  return checks;
}

Expected<RequestId> Node::submit(GenerateRequest request,
                                 std::shared_ptr<RequestListener> listener) {
  if (!process_.gateway)
    return unexpected(Errc::unavailable, "this process is no gateway; ask one that is");
  if (auto fine = check_request(request, process_.checkpoint.config()); !fine)
    return unexpected(fine.error());
  if (auto now = readiness(); !now.takes_requests())
    return unexpected(Errc::unavailable, now.detail);
  const RequestId id = next_request_.fetch_add(1);
  caf::anon_send(process_.gateway, open_atom_v,
                 OpenOrder{id, std::make_shared<GenerateRequest>(std::move(request)),
                           std::make_shared<CountedListener>(std::move(listener), open_)});
  return id;
}

bool Node::drained() const {
  if (*open_ > 0) return false;
  for (const auto& one : process_.members) {
    const auto load = one.context.role.pulse->load();
    if (load.oldest_work || load.queued_rows > 0) return false;
  }
  return draining_;
}

/// Asks one actor for its status; nothing when it is gone or does not answer in time.
template <class Status, class Handle>
void ask(caf::scoped_actor& self, const Handle& actor, std::optional<Status>& place) {
  if (!actor) return;
  self->request(actor, kAnswer, status_atom_v)
      .receive([&](const Status& status) { place = status; }, [](const caf::error&) {});
}

NodeStatus Node::status() const {
  NodeStatus all;
  const auto view = front().view->get();
  all.state = view.state;
  all.load_progress = view.load_progress;
  all.serving = view.serving;
  all.term = view.term;
  for (const auto& one : process_.members) all.epoch = std::max(all.epoch, one.view->get().epoch);
  caf::scoped_actor self{process_.system()};
  ask(self, process_.gateway, all.gateway);
  ask(self, process_.attention, all.attention);
  ask(self, process_.router, all.router);
  ask(self, process_.expert, all.expert);
  for (const auto& one : process_.members)
    if (one.role)
      self->request(one.role, kAnswer, links_atom_v)
          .receive(
              [&](const LinkReports& reports) {
                all.links.insert(all.links.end(), reports.links.begin(), reports.links.end());
                all.link_endings.insert(all.link_endings.end(), reports.endings.begin(),
                                        reports.endings.end());
              },
              [](const caf::error&) {});
  return all;
}

/// What a director answers to an agent.
template <class Reply, class Atom>
Reply ask_director(caf::actor_system& system, const AgentActor& agent, Atom question) {
  Reply answer;
  caf::scoped_actor self{system};
  self->request(agent, kAnswer, question)
      .receive([&](const Reply& reply) { answer = reply; },
               [&](const caf::error&) {
                 answer.error = {Errc::unavailable, "no director answered within two seconds"};
               });
  return answer;
}

Expected<ClusterReport> Node::report() const {
  auto answer = ask_director<ReportReply>(process_.system(), front().agent, report_atom_v);
  if (answer.error.code != Errc::ok) return unexpected(answer.error);
  return std::move(answer.report);
}

Expected<std::vector<ExpertLoad>> Node::loads() const {
  auto answer = ask_director<LoadsReply>(process_.system(), front().agent, loads_atom_v);
  if (answer.error.code != Errc::ok) return unexpected(answer.error);
  return std::move(answer.ranks);
}

}  // namespace

Expected<std::unique_ptr<ClusterNode>> ClusterNode::start(const model::Checkpoint& checkpoint,
                                                          const NodeSettings& settings,
                                                          NodeHooks hooks) {
  const auto refused = [](const char* what) {
    return unexpected(Errc::resource_exhausted,
                      std::string("cannot start the process' actors: ") + what +
                          "; raise the limits on memory and threads (ulimit -a)");
  };
  try {
    auto node = std::make_unique<Node>(checkpoint, settings, std::move(hooks));
    if (auto begun = node->begin(); !begun) return unexpected(begun.error());
    return std::unique_ptr<ClusterNode>(std::move(node));
  } catch (const std::system_error& error) {  // std::thread
    return refused(error.what());
  } catch (const std::bad_alloc& error) {
    return refused(error.what());
  }
}

}  // namespace troupe::actors
