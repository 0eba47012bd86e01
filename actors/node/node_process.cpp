// Starts and ends the actors of a service process.
#include "actors/node/node_process.hpp"

#include <unistd.h>

#include <caf/io/middleman.hpp>

#include "actors/node/node_identity.hpp"
#include "actors/role_settings.hpp"

namespace troupe::actors {

NodeSystemConfig::NodeSystemConfig() {
  load<caf::io::middleman>();
  register_control_messages(*this);
  set("scheduler.max-threads", 1u);
  set("scheduler.policy", caf::atom("sharing"));
  set("middleman.workers", 0u);  // rare messages: its own thread reads them
  set("logger.console", caf::atom("none"));
}

NodeProcess::NodeProcess(const model::Checkpoint& from, NodeSettings with, NodeHooks and_hooks)
    : checkpoint(from), settings(std::move(with)), hooks(std::move(and_hooks)) {}

NodeProcess::~NodeProcess() { stop(); }

void NodeProcess::say(NodeEvent::Severity severity, std::string name, std::string detail) const {
  if (hooks.on_event) hooks.on_event({severity, std::move(name), std::move(detail)});
}

Expected<void> NodeProcess::open() {
  if (auto fine = check_node(settings, checkpoint.config()); !fine) return fine;
  auto table = settings.engine.table != nullptr
                   ? Expected<const kernels::KernelTable*>(settings.engine.table)
                   : kernels::select_level("auto");
  if (!table) return unexpected(table.error());
  numerics = settings.engine.numerics();
  numerics_id = model::numerics_id(checkpoint.revision(), numerics);
  process_ = random_id();
  identity_ = {cluster_id_of(settings.cluster_name), numerics_id, 0};
  join_token_ = join_token_of(settings.join_token);
  if (settings.role != proto::Role::gateway)
    pool_ = std::make_unique<kernels::ComputePool>(
        kernels::ComputePool::Settings{.threads = settings.engine.threads,
                                       .jobs_max = 1024,
                                       .pin = settings.engine.pin_threads});
  engine_ = {*table, pool_.get()};
  if (hooks.protocol) join_.versions = *hooks.protocol;
  join_.cluster_id = identity_.cluster_id;
  join_.cluster_name = settings.cluster_name;
  join_.key = join_key_of(settings.join_token);
  system_ = std::make_unique<caf::actor_system>(config_);
  connector_ = std::make_shared<const CafConnector>(*system_, hooks.on_event);
  if (auto opened = open_control_port(); !opened) return opened;
  spawn_agents();
  return {};
}

Expected<void> NodeProcess::open_control_port() {
  if (!hosts_director(settings)) return {};
  DirectorSettings director;
  director.router_index = settings.index;
  director.routers_count = settings.routers_count;
  director.expert_ranks = settings.expert_ranks;
  if (hooks.protocol) director.versions = *hooks.protocol;
  director.join_token = join_token_;
  director.cluster_id = identity_.cluster_id;
  director.numerics_id = numerics_id;
  director.lost_after = settings.lost_after;
  DirectorHooks events;
  events.on_event = [sink = hooks.on_event](const DirectorEvent& event) {
    using Severity = NodeEvent::Severity;
    if (sink) sink({event.warning ? Severity::warning : Severity::info, event.name, event.detail});
  };
  director_ = spawn_director(*system_, checkpoint.config(), director, std::move(events));
  return open_door();
}

Expected<void> NodeProcess::open_door() {
  const auto& listen = settings.control_listen;
  DoorHooks events;
  events.on_proved = [this](ProvedConnection connection) {
    connector_->take_in(std::move(connection), director_);
  };
  events.on_event = hooks.on_event;
  auto opened = Doorkeeper::open({listen, join_, {}}, std::move(events));
  if (!opened)
    return unexpected(Errc::unavailable,
                      "cannot listen on control address " + to_string(listen) + ": " +
                          opened.error().detail +
                          "; is the port in use? Choose another control.listen or stop the other "
                          "process");
  doorkeeper_ = std::move(*opened);
  control_port = doorkeeper_->port();
  say(NodeEvent::Severity::info, "control_port_open",
      "address=" + to_string(Endpoint{listen.host, control_port}));
  return {};
}

SpawnContext NodeProcess::context(PeerId peer) const {
  SpawnContext context;
  context.poll.poll_us = settings.engine.poll_us;
  auto& credentials = context.role.credentials;
  credentials.role = role_of(peer);
  credentials.index = index_of(peer);
  credentials.identity = identity_;
  credentials.identity.incarnation = random_id();
  credentials.join_token = join_token_;
  if (hooks.protocol) credentials.versions = *hooks.protocol;
  context.role.peers.grant = settings.engine.credits;
  context.role.wire = wire_;
  context.role.engine = engine_;
  context.role.compute = [pool = pool_.get()](ComputeLane::Work job) {
    return pool != nullptr && pool->submit(std::move(job));
  };
  context.dock = {settings.transport, settings.ucx_options, settings.ucx_set_by_user};
  context.on_event = hooks.on_event;
  context.hides_stops = false;
  return context;
}

Announcement NodeProcess::announcement(const HostedMember& member) const {
  const auto& credentials = member.context.role.credentials;
  Announcement words;
  words.protocol_oldest = credentials.versions.min;
  words.protocol_newest = credentials.versions.max;
  words.join_token = join_token_;
  words.cluster_id = identity_.cluster_id;
  words.numerics_id = numerics_id;
  words.peer = member.peer;
  words.incarnation = credentials.identity.incarnation;
  words.process = process_;
  words.expert_ranks = settings.expert_ranks;
  if (role_of(member.peer) == proto::Role::expert) {
    words.experts = held_experts(settings, checkpoint.config());
    words.wants_quantised_rows = numerics.quantises_to_fp8() && model::experts_are_fp8(checkpoint);
  }
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0) words.host = host;
  words.pid = ::getpid();
  words.version = settings.version;
  words.ops_address = settings.ops_address;
  return words;
}

void NodeProcess::spawn_agents() {
  for (const auto& router : settings.routers)
    knocks_.push_back(spawn_knock(*system_, router, join_, stopping_));
  for (const auto peer : members_of(settings)) {
    HostedMember member;
    member.peer = peer;
    member.context = context(peer);
    AgentContext agent;
    agent.settings.who = announcement(member);
    agent.settings.directors = settings.routers.size();
    agent.settings.own_router_only = settings.colocated_router;
    agent.settings.lost_after = settings.lost_after;
    agent.settings.beat_busy = settings.beat_busy;
    agent.settings.beat_idle = settings.beat_idle;
    agent.seed = random_id();
    agent.routers = settings.routers;
    agent.knocks = knocks_;
    agent.connector = connector_;
    agent.own_director = director_;
    agent.pulse = member.context.role.pulse;
    agent.standings = member.context.role.standings;
    agent.view = member.view;
    agent.on_event = hooks.on_event;
    member.agent = spawn_agent(*system_, std::move(agent));
    members.push_back(std::move(member));
  }
}

Expected<void> NodeProcess::load() {
  const auto began = Clock::now();
  auto loaded =
      load_models(checkpoint, settings, numerics, engine_, [this](const LoadProgress& progress) {
        const auto share = progress.bytes_total == 0 ? 0.0f
                                                     : static_cast<float>(progress.bytes_done) /
                                                           static_cast<float>(progress.bytes_total);
        set_state(MemberState::loading, share);
        if (hooks.on_loading) hooks.on_loading(progress);
      });
  if (!loaded) return unexpected(loaded.error());
  models_ = std::move(*loaded);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
  say(NodeEvent::Severity::info, "weights_loaded",
      "ms=" + std::to_string(took.count()) +
          " copied_bytes=" + std::to_string(models_.derived_bytes()));
  spawn_roles();
  set_state(MemberState::active);
  return {};
}

HostedMember& NodeProcess::member(proto::Role role) {
  for (auto& member : members)
    if (role_of(member.peer) == role) return member;
  TROUPE_CHECK(false, "a role that this process does not host");
  return members.front();
}

void NodeProcess::spawn_roles() {
  const auto& engine = settings.engine;
  const auto host = [this](proto::Role role, auto spawn) {
    auto& one = member(role);
    auto handle = spawn(one);
    one.role = handle;
    return handle;
  };
  if (settings.role == proto::Role::gateway)
    gateway = host(proto::Role::gateway, [&](HostedMember& one) {
      return spawn_gateway(*system_, one.context, gateway_settings(engine, engine.attention),
                           kAttemptsMax);
    });
  if (settings.role == proto::Role::attention)
    attention = host(proto::Role::attention, [&](HostedMember& one) {
      return spawn_attention(*system_, one.context, attention_settings(engine, checkpoint),
                             models_.attention);
    });
  if (hosts_director(settings))
    router = host(proto::Role::router, [&](HostedMember& one) {
      return spawn_router(*system_, one.context, router_settings(engine, checkpoint.config()),
                          models_.router, one.agent);
    });
  if (settings.role == proto::Role::expert)
    expert = host(proto::Role::expert, [&](HostedMember& one) {
      return spawn_expert(*system_, one.context, expert_settings(numerics), models_.expert,
                          one.agent);
    });
  HostedRoles hosted;
  for (const auto& one : members) hosted.roles[one.peer] = one.role;
  for (const auto& one : members) caf::anon_send(one.agent, host_atom(), hosted);
}

void NodeProcess::set_state(MemberState state, float loaded) {
  for (const auto& one : members)
    caf::anon_send(one.agent, state_atom(), static_cast<std::uint8_t>(state), loaded);
}

void NodeProcess::stop() {
  if (!system_) return;
  *stopping_ = true;
  doorkeeper_ = nullptr;  // nobody comes in again
  const auto end = [](auto& actor) {
    if (actor) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
    actor = nullptr;
  };
  if (gateway) {
    // First: its sessions hear that they are cancelled before anything else goes.
    caf::anon_send(gateway, stop_atom_v);
    caf::scoped_actor self{*system_};
    self->wait_for(gateway);
  }
  for (auto& one : members) end(one.agent);  // nobody meets anybody again
  for (auto& one : members) end(one.role);
  gateway = nullptr;
  attention = nullptr;
  router = nullptr;
  expert = nullptr;
  if (director_) connector_->withdraw(director_);
  end(director_);
  for (auto& knock : knocks_) end(knock);
  members.clear();
  connector_ = nullptr;
  auto* ended = system_.get();
  system_.reset();  // waits for every actor and its thread, then for CAF's own
  mark_acquire(ended);
}

}  // namespace troupe::actors
