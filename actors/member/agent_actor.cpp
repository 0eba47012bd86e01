// The agent: the core's wishes to messages, answers back to the core.
#include "actors/member/spawn_member.hpp"

namespace troupe::actors {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kKnock{15000};   // KnockBudgets, and a slow resolver
constexpr milliseconds kConnect{2000};  // CAF's handshake with a router that has let us in
constexpr milliseconds kRole{10000};    // a role's loop: dialling makes UCX's context
constexpr milliseconds kRelay{5000};    // through a director, to an agent and its role
constexpr milliseconds kReport{2000};

std::string text_of(const caf::error& error) { return to_string(error); }

/// How many expert shards a placement names.
std::uint32_t shards_of(const model::Placement& placement) {
  model::ShardIndex last = -1;
  for (const auto& replicas : placement.replicas)
    for (const auto shard : replicas) last = std::max(last, shard);
  return static_cast<std::uint32_t>(last + 1);
}

KnockActor::behavior_type knocking(KnockActor::pointer, Endpoint router, JoinIdentity own,
                                   std::shared_ptr<const std::atomic<bool>> stop) {
  return {[router, own, stop](knock_atom, PeerId who) -> Knocked {
    auto outcome = knock(router, own, who, *stop);
    if (!outcome.socket) return {nullptr, std::move(outcome.fault)};
    return {std::make_shared<Socket>(std::move(outcome.socket)), {}};
  }};
}

/// The state and the handlers of one agent.
class Agent {
 public:
  Agent(AgentActor::pointer self, AgentContext context)
      : self_(self),
        context_(std::move(context)),
        core_(context_.settings, context_.seed, Clock::now()),
        directors_(context_.settings.directors) {}

  AgentActor::behavior_type behavior();

 private:
  void act();
  void schedule(TimePoint now);
  void publish_view();
  void tell_standings();
  MemberSight sight() const;
  PeerId own() const { return context_.settings.who.peer; }
  bool is_own(std::size_t director) const {
    return context_.own_director && director == index_of(own());
  }

  void perform(const member::Connect& wish);
  void perform(const member::Announce& wish);
  void perform(const member::SendBeat& wish);
  void perform(const member::Meet& wish);
  void perform(const member::Summon& wish);
  void perform(const member::Drop& wish);
  void perform(const member::Rejoin& wish);
  void perform(const NodeEvent& event) {
    if (context_.on_event) context_.on_event(event);
  }

  void knocked(std::size_t index, const Knocked& outcome);
  void connect(std::size_t index, Socket socket);
  void hold(std::size_t index, const DirectorActor& director);
  void lose(std::size_t index, const std::string& why);
  void on_down(const caf::down_msg& down);
  void on_roster(const Roster& roster);
  void on_placement(const PlacementNote& note);
  void follow(const LinkedActor& role);
  void relay(PeerId peer, std::size_t index, const std::string& address);
  void open(PeerId peer, const std::string& address);
  void met(PeerId peer, const Error& error);
  caf::result<ConnectReply> accept(const ConnectRequest& request);
  template <class Reply, class Atom>
  caf::result<Reply> ask_director(Atom question);
  caf::result<ExpertLoad> load();
  LinkedActor role() const {
    const auto found = hosted_.roles.find(own());
    return found == hosted_.roles.end() ? LinkedActor() : found->second;
  }

  AgentActor::pointer self_;
  AgentContext context_;
  MemberCore core_;
  std::vector<DirectorActor> directors_;  // null: not connected
  HostedRoles hosted_;
  LinkedActor follower_;
  ExpertActor expert_;  // null: it speaks for another role
  PlacementPtr placement_;
  std::uint64_t own_term_ = 0;  // of the own director while it is active
  std::pair<std::uint64_t, std::uint64_t> told_standings_{};
  std::uint64_t timer_ = 0;  // number of the newest
  TimePoint timer_due_ = TimePoint::max();
};

MemberSight Agent::sight() const {
  return {context_.pulse->load(), context_.pulse->progress(),
          role_of(own()) == proto::Role::router ? own_term_ : 0, context_.pulse->joined()};
}

void Agent::act() {
  for (const auto& action : core_.tick(sight(), Clock::now()))
    std::visit([this](const auto& wish) { perform(wish); }, action);
  tell_standings();
  publish_view();
  schedule(Clock::now());
}

void Agent::schedule(TimePoint now) {
  const auto due = core_.next_due();
  if (due >= timer_due_ && timer_due_ > now) return;  // an earlier one is under way
  timer_due_ = due;
  self_->delayed_send(self_, std::max<Clock::duration>(due - now, milliseconds(1)), tick_atom_v,
                      ++timer_);
}

void Agent::publish_view() {
  MemberView::Snapshot view;
  view.state = core_.state();
  view.load_progress = core_.load_progress();
  view.term = core_.term();
  view.serving = core_.serving();
  view.epoch = placement_ ? placement_->placement.epoch : 0;
  view.welcome = core_.director().has_value();
  view.fatal = core_.fatal();
  view.lacks = core_.lacks(sight(), Clock::now());
  view.unserved_since = core_.unserved_since();
  context_.view->set(std::move(view));
}

/// What the director says of the peers, for the role to choose by.
void Agent::tell_standings() {
  const auto& roster = core_.roster();
  const std::pair now(roster.term, roster.version);
  if (std::exchange(told_standings_, now) == now) return;
  PeerStandings::States states;
  for (const auto& entry : roster.members) states[entry.peer] = entry.state;
  context_.standings->set(std::move(states));
}

void Agent::perform(const member::Connect& wish) {
  const auto index = wish.director;
  if (is_own(index)) return hold(index, context_.own_director);
  self_->request(context_.knocks.at(index), kKnock, knock_atom(), own())
      .then([this, index](const Knocked& outcome) { knocked(index, outcome); },
            [this, index](const caf::error& error) { lose(index, text_of(error)); });
}

void Agent::knocked(std::size_t index, const Knocked& outcome) {
  if (outcome.socket) return connect(index, std::move(*outcome.socket));
  if (outcome.fault.refusal == Refusal::none) return lose(index, outcome.fault.error.detail);
  core_.turned_away(index, outcome.fault.refusal, outcome.fault.error, Clock::now());
  act();
}

void Agent::connect(std::size_t index, Socket socket) {
  const auto& endpoint = context_.routers.at(index);
  const auto connection =
      context_.connector->scribe({std::move(socket), to_string(endpoint), nullptr});
  self_
      ->request(context_.connector->broker(), kConnect, caf::connect_atom::value, connection,
                endpoint.port)
      .then(
          [this, index](const caf::node_id&, const caf::strong_actor_ptr& found,
                        const std::set<std::string>&) {
            if (!found) return lose(index, "its router has no director yet");
            hold(index, caf::actor_cast<DirectorActor>(found));
          },
          [this, index, connection](const caf::error& error) {
            hang_up(connection);
            lose(index, to_string(context_.routers.at(index)) + ": " + text_of(error));
          });
}

void Agent::hold(std::size_t index, const DirectorActor& director) {
  directors_[index] = director;
  self_->monitor(director);
  core_.connected(index, Clock::now());
  act();
}

void Agent::lose(std::size_t index, const std::string& why) {
  if (auto& director = directors_[index]) {
    self_->demonitor(director.address());
    director = nullptr;
  }
  core_.disconnected(index, why, Clock::now());
  act();
}

void Agent::on_down(const caf::down_msg& down) {
  if (context_.own_director && context_.own_director.address() == down.source) {
    // Nobody in this process ends it before the agents: the process has to begin anew.
    core_.give_up(
        {Errc::internal, "the director of this process has ended: " + to_string(down.reason)});
    return act();
  }
  for (std::size_t i = 0; i < directors_.size(); ++i)
    if (directors_[i] && directors_[i].address() == down.source)
      return lose(i, "the connection was closed");
}

void Agent::perform(const member::Announce& wish) {
  const auto index = wish.director;
  const auto budget = std::max(context_.settings.lost_after, milliseconds(2000));
  self_->request(directors_.at(index), budget, announce_atom_v, wish.words)
      .then(
          [this, index, incarnation = wish.words.incarnation](const AnnounceReply& reply) {
            if (incarnation != core_.incarnation()) return;
            core_.answered(index, reply, Clock::now());
            act();
          },
          [this, index](const caf::error& error) {
            lose(index, "no answer to the announcement: " + text_of(error));
          });
}

void Agent::perform(const member::SendBeat& wish) {
  if (const auto& director = directors_.at(wish.director))
    self_->send(director, beat_atom_v, wish.beat);
}

void Agent::perform(const member::Summon& wish) {
  const auto& director = directors_.at(wish.director);
  if (!director) return;
  // No address: the peer has one to give.
  self_
      ->request(director, kRelay, connect_atom_v,
                ConnectRequest{own(), wish.peer, core_.incarnation(), {}})
      .then([](const ConnectReply&) {}, [](const caf::error&) {});
}

void Agent::perform(const member::Drop& wish) {
  if (const auto own_role = role()) self_->send(own_role, drop_atom_v, wish.peer, wish.why);
}

void Agent::perform(const member::Rejoin& wish) {
  if (const auto own_role = role()) self_->send(own_role, rejoin_atom_v, wish.incarnation);
}

void Agent::perform(const member::Meet& wish) {
  const auto peer = wish.peer;
  const auto failed = [this, peer](const caf::error& error) {
    met(peer, {Errc::deadline_exceeded, "its own role did not answer: " + text_of(error)});
  };
  if (wish.in_process) {
    const auto other = hosted_.roles.find(peer);
    if (other == hosted_.roles.end()) return met(peer, {Errc::unavailable, "it is not there yet"});
    self_
        ->request(role(), kRole, meet_atom_v, peer,
                  caf::actor_cast<caf::strong_actor_ptr>(other->second))
        .then([this, peer](const MeetOutcome& outcome) { met(peer, outcome.error); }, failed);
    return;
  }
  self_->request(role(), kRole, dial_atom_v, peer, wish.over_tcp)
      .then(
          [this, peer, index = wish.director](const DialOutcome& dialled) {
            if (dialled.error.code != Errc::ok) return met(peer, dialled.error);
            relay(peer, index, dialled.address);
          },
          failed);
}

void Agent::relay(PeerId peer, std::size_t index, const std::string& address) {
  const auto give_up = [this, peer](const Error& error) {
    self_->send(role(), abandon_atom_v, peer);
    met(peer, error);
  };
  const auto& director = directors_.at(index);
  if (!director) return give_up({Errc::unavailable, "the director that relays has gone"});
  self_
      ->request(director, kRelay, connect_atom_v,
                ConnectRequest{own(), peer, core_.incarnation(), address})
      .then(
          [this, peer, give_up](const ConnectReply& reply) {
            if (reply.error.code != Errc::ok) return give_up(reply.error);
            open(peer, reply.address);
          },
          [give_up](const caf::error& error) {
            give_up({Errc::unavailable, "no answer through the director: " + text_of(error)});
          });
}

void Agent::open(PeerId peer, const std::string& address) {
  self_->request(role(), kRole, dialled_atom_v, peer, address)
      .then([this, peer](const MeetOutcome& outcome) { met(peer, outcome.error); },
            [this, peer](const caf::error& error) {
              met(peer, {Errc::deadline_exceeded, "no hello came back: " + text_of(error)});
            });
}

void Agent::met(PeerId peer, const Error& error) {
  core_.met(peer, error, Clock::now());
  act();
}

caf::result<ConnectReply> Agent::accept(const ConnectRequest& request) {
  const auto own_role = role();
  // Not welcome: it may have been frozen, and then this is old; nobody lives at the address.
  if (!own_role || request.to != own() || !core_.director())
    return ConnectReply{{Errc::unavailable, name_of(request.to) + " is not ready for links"}, {}};
  if (request.address.empty()) {  // it has lost the link that we opened: the core meets it again
    self_->send(own_role, drop_atom_v, request.from, std::string("it has lost the link"));
    return ConnectReply{};
  }
  auto promise = self_->make_response_promise<ConnectReply>();
  self_->request(own_role, kRole, accept_atom_v, request.from, request.address)
      .then(
          [promise](const DialOutcome& outcome) mutable {
            promise.deliver(ConnectReply{outcome.error, outcome.address});
          },
          [promise, who = name_of(own())](const caf::error& error) mutable {
            promise.deliver(ConnectReply{
                {Errc::deadline_exceeded, who + " did not answer: " + text_of(error)}, {}});
          });
  return promise;
}

/// What the director answers; in `error` why it does not.
template <class Reply, class Atom>
caf::result<Reply> Agent::ask_director(Atom question) {
  const auto index = core_.director();
  if (!index || !directors_[*index])
    return Reply{{Errc::unavailable, "no director has let this process in"}, {}};
  auto promise = self_->make_response_promise<Reply>();
  self_->request(directors_[*index], kReport, question)
      .then([promise](const Reply& reply) mutable { promise.deliver(reply); },
            [promise](const caf::error& error) mutable {
              promise.deliver(Reply{
                  {Errc::unavailable, "the director does not answer: " + text_of(error)}, {}});
            });
  return promise;
}

caf::result<ExpertLoad> Agent::load() {
  if (!expert_ || !placement_) return caf::sec::invalid_argument;
  auto promise = self_->make_response_promise<ExpertLoad>();
  const auto& range = context_.settings.who.experts;
  self_->request(expert_, kReport, status_atom_v)
      .then(
          [promise, own = own(), range,
           experts = placement_->placement.experts](const ExpertStatus& status) mutable {
            promise.deliver(ExpertLoad{own, range, held_columns(status.tokens, experts, range)});
          },
          [promise](caf::error& error) mutable { promise.deliver(std::move(error)); });
  return promise;
}

void Agent::on_roster(const Roster& roster) {
  if (context_.own_director && self_->current_sender() != nullptr &&
      self_->current_sender()->address() == context_.own_director.address())
    own_term_ = roster.term;
  core_.on_roster(roster);
  act();
}

void Agent::on_placement(const PlacementNote& note) {
  const auto& next = note.placement->placement;
  if (placement_ && std::pair(next.term, next.epoch) <=
                        std::pair(placement_->placement.term, placement_->placement.epoch))
    return;
  placement_ = note.placement;
  core_.place(shards_of(next));
  if (follower_) self_->send(follower_, adopt_atom_v, placement_);
  publish_view();
}

void Agent::follow(const LinkedActor& role) {
  follower_ = role;
  if (placement_) self_->send(follower_, adopt_atom_v, placement_);
}

AgentActor::behavior_type Agent::behavior() {
  self_->set_down_handler([this](const caf::down_msg& down) { on_down(down); });
  self_->send(self_, tick_atom_v, timer_);
  return {[this](roster_atom, const Roster& roster) { on_roster(roster); },
          [this](adopt_atom, const PlacementNote& note) { on_placement(note); },
          [this](connect_atom, const ConnectRequest& request) { return accept(request); },
          [this](evicted_atom, std::uint64_t incarnation) {
            core_.evicted(incarnation, Clock::now());
            act();
          },
          [this](load_atom) { return load(); },
          [this](follow_atom, const RouterActor& role) { follow(role); },
          [this](follow_atom, const ExpertActor& role) {
            expert_ = role;
            follow(role);
          },
          [this](newest_atom, const RouterActor&) {
            const auto index = core_.director();
            if (index && directors_[*index]) self_->send(directors_[*index], newest_atom_v);
          },
          [this](host_atom, const HostedRoles& hosted) {
            hosted_ = hosted;
            act();
          },
          [this](state_atom, std::uint8_t state, float load_progress) {
            core_.set_state(static_cast<MemberState>(state), load_progress);
            act();
          },
          [this](report_atom) { return ask_director<ReportReply>(report_atom_v); },
          [this](loads_atom) { return ask_director<LoadsReply>(loads_atom_v); },
          [this](tick_atom, std::uint64_t timer) {
            if (timer != timer_) return;
            timer_due_ = TimePoint::max();
            act();
          }};
}

struct AgentState {
  static inline const char* name = "troupe.agent";
  std::unique_ptr<Agent> agent;
};

AgentActor::behavior_type agent(AgentActor::stateful_pointer<AgentState> self,
                                AgentContext context) {
  self->state.agent = std::make_unique<Agent>(self, std::move(context));
  return self->state.agent->behavior();
}

}  // namespace

KnockActor spawn_knock(caf::actor_system& system, Endpoint router, JoinIdentity own,
                       std::shared_ptr<const std::atomic<bool>> stop) {
  return system.spawn<caf::detached>(knocking, std::move(router), std::move(own), std::move(stop));
}

AgentActor spawn_agent(caf::actor_system& system, AgentContext context) {
  return system.spawn(agent, std::move(context));
}

}  // namespace troupe::actors
