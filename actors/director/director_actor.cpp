// The director actor of a router process: agents' messages to calls of the core, its news to them.
//
// What it does when a peer disappears:
//  - a member: a closed connection (down message) or silence makes it LOST in the roster that all
//    others get at once. Its placement stays; routers leave the shard out by themselves. A connect
//    that was passed on to it is answered with `unavailable`, after two seconds at the latest.
//  - another router's director: the election of docs/adr/0002, 6; the members hear the new term.
//  - itself, or its process: members keep their links, the last roster and the last placement; a
//    director that comes back learns everything from their announcements.
//  - a member it has LOST by silence that speaks again: it is told (`evicted`) and starts anew.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "actors/director/spawn_director.hpp"

namespace troupe::actors {
namespace {

constexpr std::chrono::seconds kRelayBudget{2};
constexpr std::chrono::seconds kLoadBudget{1};
constexpr std::size_t kRelaysMax = 4096;        // connects under way
constexpr std::size_t kLoadAskersMax = 1024;    // that wait for one gathering
constexpr std::size_t kRefusalsToldMax = 1024;  // remembered, so that each is told once

/// A tenth of lost_after: 300 ms by default, 4 wake-ups a second.
std::chrono::milliseconds tick_period(std::chrono::milliseconds lost_after) {
  return std::clamp(lost_after / 10, std::chrono::milliseconds(10), std::chrono::milliseconds(300));
}

using TickingDirector = DirectorActor::extend<caf::reacts_to<tick_atom>>;

/// An agent whose announcement was accepted on this connection.
struct Agent {
  MemberActor handle;
  PeerId peer = 0;
  std::uint64_t incarnation = 0;
  bool open = true;  // no down message since
};

/// A connect that was passed on.
struct Relay {
  caf::typed_response_promise<ConnectReply> asker;
  caf::actor_addr acceptor;
};

/// Loads of expert shards on their way. Whoever asks meanwhile gets the same.
struct Gathering {
  std::vector<caf::typed_response_promise<LoadsReply>> askers;
  LoadsReply reply;
  std::size_t open = 0;  // shards that have not answered
};

struct DirectorState {
  static inline const char* name = "troupe.director";
  using Self = TickingDirector::stateful_pointer<DirectorState>;

  Self self = nullptr;
  std::unique_ptr<DirectorCore> core;
  DirectorHooks hooks;
  std::map<caf::actor_addr, Agent> agents;
  Roster told;  // the newest that was sent
  PlacementPtr told_placement;
  std::set<std::pair<PeerId, Refusal>> told_refusals;
  std::map<std::uint64_t, Relay> relays;
  std::uint64_t last_relay = 0;
  std::optional<Gathering> gathering;

  TimePoint now() const { return self->clock().now(); }
  Agent* sender();
  bool current(const Agent& agent) const;
  const Agent* agent_of(PeerId peer) const;

  AnnounceReply announce(const caf::strong_actor_ptr& who, const Announcement& announcement);
  void refused(const Announcement& announcement, const AnnounceReply& reply);
  void beat(const Beat& beat);
  void down(const caf::down_msg& message);
  void tick();
  caf::result<ConnectReply> relay(const ConnectRequest& request);
  void answer(std::uint64_t relay, const ConnectReply& reply);
  caf::result<LoadsReply> loads();
  void gather();
  void gathered(const ExpertLoad* load);
  PublishOutcome publish(const PlacementNote& draft);
  void tell_news();
  void event(const char* name, std::string detail, bool warning = false) const {
    if (hooks.on_event) hooks.on_event({name, std::move(detail), warning});
  }
};

Agent* DirectorState::sender() {
  const auto found = agents.find(caf::actor_cast<caf::actor_addr>(self->current_sender()));
  return found == agents.end() ? nullptr : &found->second;
}

/// Whether it speaks for the life that has the member's place and is not LOST.
bool DirectorState::current(const Agent& agent) const {
  return agent.open && core->live_incarnation(agent.peer) == agent.incarnation;
}

const Agent* DirectorState::agent_of(PeerId peer) const {
  for (const auto& [address, agent] : agents)
    if (agent.peer == peer && current(agent)) return &agent;
  return nullptr;
}

AnnounceReply DirectorState::announce(const caf::strong_actor_ptr& who,
                                      const Announcement& announcement) {
  const auto address = caf::actor_cast<caf::actor_addr>(who);
  const auto known = agents.find(address);
  const bool is_open = known != agents.end() && known->second.open;
  AnnounceReply reply;
  if (!who)
    reply = {Refusal::malformed, {Errc::malformed, "an announcement without a sender"}, {}};
  else if (is_open && known->second.peer != announcement.peer)
    reply = {Refusal::malformed, {Errc::malformed, "one agent speaks for one member"}, {}};
  else if (known == agents.end() && agents.size() >= 2 * core->settings().members_max)
    reply = {Refusal::full, {Errc::overloaded, "too many connections; try again later"}, {}};
  else
    reply = core->announce(announcement, now());
  if (reply.refusal != Refusal::none) {
    refused(announcement, reply);
    return reply;
  }
  std::erase_if(told_refusals,
                [&](const auto& told_one) { return told_one.first == announcement.peer; });
  if (!is_open) self->monitor(address);
  agents[address] = {caf::actor_cast<MemberActor>(who), announcement.peer,
                     announcement.incarnation};
  return reply;
}

void DirectorState::refused(const Announcement& announcement, const AnnounceReply& reply) {
  if (told_refusals.size() >= kRefusalsToldMax) told_refusals.clear();
  if (!told_refusals.emplace(announcement.peer, reply.refusal).second) return;
  event("member_refused",
        "reason=" + std::string(to_string(reply.refusal)) + " host=" + announcement.host +
            " pid=" + std::to_string(announcement.pid) + " " + reply.error.detail,
        true);
}

void DirectorState::beat(const Beat& beat) {
  Agent* agent = sender();
  if (agent == nullptr || agent->peer != beat.peer || agent->incarnation != beat.incarnation)
    return;  // it has not announced this life, or will have done so by its next beat
  if (core->beat(beat, now()) != BeatVerdict::heard) {
    event("member_evicted", "peer=" + name_of(beat.peer), true);
    self->send(caf::actor_cast<MemberActor>(self->current_sender()), evicted_atom_v,
               beat.incarnation);
  } else if (!agent->open) {
    // Its connection was lost and has come back before it announced itself again.
    agent->open = true;
    agent->handle = caf::actor_cast<MemberActor>(self->current_sender());
    self->monitor(agent->handle);
  }
  tell_news();
}

void DirectorState::down(const caf::down_msg& message) {
  const auto found = agents.find(message.source);
  if (found == agents.end()) return;
  Agent& agent = found->second;
  agent.open = false;
  agent.handle = nullptr;
  core->connection_lost(agent.peer, agent.incarnation, now());
  const ConnectReply gone{{Errc::unavailable, name_of(agent.peer) + " has gone"}, {}};
  std::vector<std::uint64_t> unanswered;
  for (const auto& [id, relay] : relays)
    if (relay.acceptor == message.source) unanswered.push_back(id);
  for (const auto id : unanswered) answer(id, gone);
  tell_news();
}

void DirectorState::tick() {
  core->tick(now());
  std::erase_if(agents, [&](const auto& entry) {
    return !entry.second.open && !core->knows(entry.second.peer, entry.second.incarnation);
  });
  tell_news();
}

caf::result<ConnectReply> DirectorState::relay(const ConnectRequest& request) {
  const auto refuse = [](Errc code, std::string detail) {
    return ConnectReply{{code, std::move(detail)}, {}};
  };
  const Agent* asker = sender();
  if (asker == nullptr || !current(*asker) || asker->peer != request.from ||
      asker->incarnation != request.incarnation)
    return refuse(Errc::unavailable, "announce yourself first");
  const Agent* acceptor = agent_of(request.to);
  if (acceptor == nullptr) return refuse(Errc::unavailable, name_of(request.to) + " is not there");
  if (request.address.size() > kAddressBytesMax)
    return refuse(Errc::invalid_argument, "a worker address of more than 64 KiB");
  if (relays.size() >= kRelaysMax)
    return refuse(Errc::overloaded, "too many links are being opened at once; try again");
  const auto id = ++last_relay;
  auto promise = self->make_response_promise<ConnectReply>();
  relays[id] = {promise, acceptor->handle.address()};
  self->request(acceptor->handle, kRelayBudget, connect_atom_v, request)
      .then([this, id](const ConnectReply& reply) { answer(id, reply); },
            [this, id, to = request.to](const caf::error&) {
              answer(id,
                     {{Errc::unavailable, name_of(to) + " did not answer a connect in time"}, {}});
            });
  return promise;
}

void DirectorState::answer(std::uint64_t relay, const ConnectReply& reply) {
  const auto found = relays.find(relay);
  if (found == relays.end()) return;
  found->second.asker.deliver(reply);
  relays.erase(found);
}

caf::result<LoadsReply> DirectorState::loads() {
  const Agent* asker = sender();
  if (asker == nullptr || !asker->open)
    return LoadsReply{{Errc::unavailable, "announce yourself first"}, {}};
  if (gathering && gathering->askers.size() >= kLoadAskersMax)
    return LoadsReply{{Errc::overloaded, "too many ask for the loads at once"}, {}};
  auto promise = self->make_response_promise<LoadsReply>();
  const bool first = !gathering;
  if (first) gathering.emplace();
  gathering->askers.push_back(promise);
  if (first) gather();
  return promise;
}

void DirectorState::gather() {
  gathering->open = 1;  // this loop
  for (const auto& [address, agent] : agents) {
    if (role_of(agent.peer) != proto::Role::expert || !current(agent)) continue;
    ++gathering->open;
    self->request(agent.handle, kLoadBudget, load_atom_v)
        .then([this, peer = agent.peer](
                  const ExpertLoad& load) { gathered(load.peer == peer ? &load : nullptr); },
              [this](const caf::error&) { gathered(nullptr); });
  }
  gathered(nullptr);
}

/// One shard has answered, or will not. What does not have the model's shape is nobody's load.
void DirectorState::gathered(const ExpertLoad* load) {
  if (load != nullptr && core->fits(*load)) gathering->reply.ranks.push_back(*load);
  if (--gathering->open > 0) return;
  auto& ranks = gathering->reply.ranks;
  std::ranges::sort(ranks, {}, &ExpertLoad::peer);
  for (auto& asker : gathering->askers) asker.deliver(gathering->reply);
  gathering.reset();
}

PublishOutcome DirectorState::publish(const PlacementNote& draft) {
  const Agent* asker = sender();
  if (asker == nullptr || !current(*asker) || !draft.placement)
    return {0, {Errc::unavailable, "announce yourself first"}};
  const auto placement = core->publish(draft.placement->placement);
  if (!placement) return {0, placement.error()};
  tell_news();
  return {(*placement)->placement.epoch, {Errc::ok, {}}};
}

/// Sends what has changed since the last call to everyone it concerns.
void DirectorState::tell_news() {
  const bool new_roster = core->roster().version != told.version;
  const bool new_placement = core->placement() != nullptr && core->placement() != told_placement;
  if (!new_roster && !new_placement) return;
  if (hooks.on_event)
    for (const auto& event : news_of(core->settings().router_index, told, told_placement,
                                     core->roster(), core->placement()))
      hooks.on_event(event);
  for (const auto& [address, agent] : agents) {
    if (!current(agent)) continue;
    if (new_roster) self->send(agent.handle, roster_atom_v, core->roster());
    if (new_placement) self->send(agent.handle, adopt_atom_v, PlacementNote{core->placement()});
  }
  told = core->roster();
  told_placement = core->placement();
}

TickingDirector::behavior_type director(DirectorState::Self self,
                                        const std::shared_ptr<const model::ModelConfig>& config,
                                        const DirectorSettings& settings,
                                        const DirectorHooks& hooks) {
  auto& state = self->state;
  state.self = self;
  state.hooks = hooks;
  state.core = std::make_unique<DirectorCore>(*config, settings, state.now());
  state.tell_news();
  const auto period = tick_period(settings.lost_after);
  self->set_down_handler([&state](const caf::down_msg& message) { state.down(message); });
  self->set_default_handler(caf::drop);  // a foreign program's messages are not worth a line each
  self->delayed_send(self, period, tick_atom_v);
  return {[self, &state](announce_atom, const Announcement& announcement) {
            const auto who = self->current_sender();  // making a promise takes it away
            auto promise = self->make_response_promise<AnnounceReply>();
            auto reply = state.announce(who, announcement);
            const bool welcome = reply.refusal == Refusal::none;
            promise.deliver(std::move(reply));  // before the news
            const auto placement = state.told_placement;
            state.tell_news();
            if (welcome && placement && placement == state.core->placement())
              self->send(caf::actor_cast<MemberActor>(who), adopt_atom_v, PlacementNote{placement});
            return promise;
          },
          [&state](beat_atom, const Beat& beat) { state.beat(beat); },
          [&state](connect_atom, const ConnectRequest& request) { return state.relay(request); },
          [self, &state](newest_atom) {
            const Agent* asker = state.sender();
            if (asker != nullptr && state.current(*asker) && state.core->placement())
              self->send(asker->handle, adopt_atom_v, PlacementNote{state.core->placement()});
          },
          [&state](report_atom) {
            const Agent* asker = state.sender();
            if (asker == nullptr || !asker->open)
              return ReportReply{{Errc::unavailable, "announce yourself first"}, {}};
            return ReportReply{{Errc::ok, {}}, state.core->report(state.now())};
          },
          [&state](loads_atom) { return state.loads(); },
          [&state](publish_atom, const PlacementNote& draft) { return state.publish(draft); },
          [self, &state, period](tick_atom) {
            if (self->current_sender() != self->ctrl()) return;  // only our own timer
            state.tick();
            self->delayed_send(self, period, tick_atom_v);
          }};
}

}  // namespace

DirectorActor spawn_director(caf::actor_system& system, const model::ModelConfig& config,
                             DirectorSettings settings, DirectorHooks hooks) {
  return system.spawn(director, std::make_shared<const model::ModelConfig>(config), settings,
                      std::move(hooks));
}

void register_control_messages(caf::actor_system_config& config) {
  config.add_message_types<caf::id_block::troupe_actors>();
}

}  // namespace troupe::actors
