// Starts, wires, watches and ends the roles of one process.
#include "actors/local_cluster.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <map>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <system_error>

#include "actors/director/spawn_director.hpp"
#include "actors/request_checks.hpp"
#include "actors/role_settings.hpp"
#include "actors/spawn_roles.hpp"

namespace troupe::actors {
namespace {

/// CAF's own threads carry messages only; what computes has its own pool.
struct SystemConfig : caf::actor_system_config {
  SystemConfig() {
    set("scheduler.max-threads", 1u);
    set("scheduler.policy", caf::atom("sharing"));
    set("logger.console", caf::atom("none"));
  }
};

struct Models {
  std::shared_ptr<const model::AttentionModel> attention;
  std::shared_ptr<const model::RouterModel> router;
  std::vector<std::shared_ptr<const model::ExpertModel>> experts;
};

std::uint64_t random_id(std::random_device& source) {
  return (std::uint64_t{source()} << 32) | source();
}

Expected<void> check(const ClusterSettings& settings, const model::ModelConfig& config) {
  const auto refuse = [](std::string what) {
    return unexpected(Errc::invalid_argument, std::move(what));
  };
  if (settings.experts < 1 || settings.attention < 1 || settings.routers < 1)
    return refuse("a cluster needs at least one expert shard, attention shard and router");
  if (settings.colocated && settings.routers != settings.attention)
    return refuse("colocated routers are as many as attention shards");
  if (settings.experts > config.routed_experts)
    return refuse(std::to_string(settings.experts) + " expert shards for " +
                  std::to_string(config.routed_experts) +
                  " experts; experts= can be at most the number of experts");
  return check_engine(settings);
}

/// Loads in parallel: the weights are mapped, so this is page faults and derived copies.
Expected<Models> load(const model::Checkpoint& checkpoint, model::Numerics numerics,
                      const kernels::Engine& engine,
                      std::span<const model::ExpertModel::Range> ranges,
                      const ClusterSettings& settings) {
  auto* progress = settings.loading.get();
  auto attention = std::async(std::launch::async, [&] {
    return model::AttentionModel::load(checkpoint, numerics, engine, progress);
  });
  auto router = std::async(std::launch::async, [&] {
    return model::RouterModel::load(checkpoint, numerics, engine, progress);
  });
  std::vector<std::future<Expected<model::ExpertModel>>> experts;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const bool has_own = i < settings.loading_experts.size();
    auto* own = has_own ? settings.loading_experts[i].get() : progress;
    experts.push_back(std::async(std::launch::async, [&, i, own] {
      return model::ExpertModel::load(checkpoint, numerics, engine, ranges[i], own);
    }));
  }
  Models models;
  std::optional<Error> failed;
  const auto take = [&](auto loaded, auto& place) {
    using Model = std::remove_cvref_t<decltype(*loaded)>;
    if (loaded)
      place = std::make_shared<const Model>(std::move(*loaded));
    else if (!failed)
      failed = loaded.error();
  };
  take(attention.get(), models.attention);
  take(router.get(), models.router);
  for (auto& expert : experts) take(expert.get(), models.experts.emplace_back());
  if (failed) return unexpected(*failed);
  return models;
}

}  // namespace

/// Members in order of need: the actors (in `system`) end before the models and the pool.
struct LocalCluster::Impl {
  const model::Checkpoint& checkpoint;
  ClusterSettings settings;
  ClusterHooks hooks;
  model::Numerics numerics;
  std::uint64_t numerics_number = 0;
  std::shared_ptr<LocalWire> wire = std::make_shared<LocalWire>();
  Models models;
  std::unique_ptr<kernels::ComputePool> pool;
  kernels::Engine engine;
  proto::PeerIdentity identity;
  std::array<std::byte, proto::kJoinTokenBytes> join_token{};
  std::random_device random;
  std::atomic<RequestId> next_request{1};
  SystemConfig config;
  std::unique_ptr<caf::actor_system> system;
  LocalDirectorActor director;
  std::vector<ExpertActor> experts;
  std::vector<RouterActor> routers;
  std::vector<AttentionActor> attention;
  GatewayActor gateway;

  Impl(const model::Checkpoint& from, const ClusterSettings& with, ClusterHooks and_hooks)
      : checkpoint(from), settings(with), hooks(std::move(and_hooks)) {}
  ~Impl() { stop(); }

  Expected<void> prepare();
  SpawnContext context(proto::Role role, std::uint32_t index);
  DirectorCore director_core() const;
  void announce(const SpawnContext& who, model::ExpertModel::Range experts = {},
                bool wants_quantised_rows = false);
  void spawn();
  Expected<void> introduce();
  void stop();
  std::vector<model::ExpertModel::Range> ranges() const;
  template <class Handle>
  Expected<void> meet(caf::scoped_actor& self, const Handle& who, PeerId peer,
                      const caf::strong_actor_ptr& whom);
};

std::vector<model::ExpertModel::Range> LocalCluster::Impl::ranges() const {
  if (!hooks.expert_ranges.empty()) return hooks.expert_ranges;
  std::vector<model::ExpertModel::Range> ranges;
  for (int shard = 0; shard < settings.experts; ++shard)
    ranges.push_back(
        model::ExpertModel::range_of(shard, settings.experts, checkpoint.config().routed_experts));
  return ranges;
}

Expected<void> LocalCluster::Impl::prepare() {
  if (auto fine = check(settings, checkpoint.config()); !fine) return fine;
  if (settings.table == nullptr) {
    auto table = kernels::select_level("auto");
    if (!table) return unexpected(table.error());
    settings.table = *table;
  }
  numerics = settings.numerics();
  numerics_number = model::numerics_id(checkpoint.revision(), numerics);
  identity = {random_id(random), numerics_number, 0};
  for (auto& byte : join_token) byte = static_cast<std::byte>(random() & 0xff);
  pool = std::make_unique<kernels::ComputePool>(
      kernels::ComputePool::Settings{
          .threads = settings.threads, .jobs_max = 1024, .pin = settings.pin_threads});
  engine = {settings.table, pool.get()};
  auto loaded = load(checkpoint, numerics, engine, ranges(), settings);
  if (!loaded) return unexpected(loaded.error());
  models = std::move(*loaded);
  for (const auto& faults : hooks.faults) wire->set_faults(faults.from, faults.to, faults.plan);
  return {};
}

SpawnContext LocalCluster::Impl::context(proto::Role role, std::uint32_t index) {
  SpawnContext context;
  context.poll.poll_us = settings.poll_us;
  auto& credentials = context.role.credentials;
  credentials.role = role;
  credentials.index = index;
  credentials.identity = identity;
  credentials.identity.incarnation = random_id(random);
  credentials.join_token = join_token;
  context.role.peers.handshake_budget = settings.start_budget;
  context.role.peers.grant = settings.credits;
  context.role.wire = wire;
  context.role.compute = [pool = pool.get()](ComputeLane::Work job) {
    return pool->submit(std::move(job));
  };
  context.role.engine = engine;
  return context;
}

DirectorCore LocalCluster::Impl::director_core() const {
  DirectorSettings director;
  director.routers_count = static_cast<std::uint32_t>(settings.routers);
  director.expert_ranks = static_cast<std::uint32_t>(settings.experts);
  director.join_token = join_token;
  director.cluster_id = identity.cluster_id;
  director.numerics_id = numerics_number;
  director.lost_after = std::chrono::milliseconds(0);
  return DirectorCore(checkpoint.config(), director, Clock::now());
}

void LocalCluster::Impl::announce(const SpawnContext& who, model::ExpertModel::Range held,
                                  bool wants_quantised_rows) {
  const auto& credentials = who.role.credentials;
  Announcement announcement;
  announcement.join_token = join_token;
  announcement.cluster_id = identity.cluster_id;
  announcement.numerics_id = numerics_number;
  announcement.peer = peer_id(credentials.role, credentials.index);
  announcement.incarnation = credentials.identity.incarnation;
  announcement.state = MemberState::active;
  announcement.expert_ranks = static_cast<std::uint32_t>(settings.experts);
  announcement.experts = held;
  announcement.wants_quantised_rows = wants_quantised_rows;
  caf::anon_send(director, announce_atom_v, announcement);
}

void LocalCluster::Impl::spawn() {
  system = std::make_unique<caf::actor_system>(config);
  director = spawn_local_director(*system, director_core());
  const auto held = ranges();
  for (std::uint32_t i = 0; i < models.experts.size(); ++i) {
    const auto with = context(proto::Role::expert, i);
    experts.push_back(
        spawn_expert(*system, with, expert_settings(numerics), models.experts[i], director));
    announce(with, held[i], models.experts[i]->wants_quantised_rows());
  }
  const auto router = router_settings(settings, checkpoint.config());
  for (int i = 0; i < settings.routers; ++i) {
    const auto with = context(proto::Role::router, i);
    routers.push_back(spawn_router(*system, with, router, models.router, director));
    announce(with);
  }
  const auto shard = attention_settings(settings, checkpoint);
  for (int i = 0; i < settings.attention; ++i) {
    const auto with = context(proto::Role::attention, i);
    attention.push_back(spawn_attention(*system, with, shard, models.attention));
    announce(with);
  }
  const auto front = gateway_settings(settings, settings.attention);
  gateway = spawn_gateway(*system, context(proto::Role::gateway, 0), front, kAttemptsMax);
}

template <class Handle>
Expected<void> LocalCluster::Impl::meet(caf::scoped_actor& self, const Handle& who, PeerId peer,
                                        const caf::strong_actor_ptr& whom) {
  Error error{Errc::ok, {}};
  self->request(who, settings.start_budget, meet_atom_v, peer, whom)
      .receive([&](const MeetOutcome& outcome) { error = outcome.error; },
               [&](const caf::error&) {
                 error = {Errc::deadline_exceeded,
                          name_of(peer) + " was not met within the start budget"};
               });
  if (error.code == Errc::ok) return {};
  return unexpected(error);
}

Expected<void> LocalCluster::Impl::introduce() {
  caf::scoped_actor self{*system};
  const auto one = [&](const auto& who, proto::Role role, const auto& to, std::uint32_t i) {
    return meet(self, who, peer_id(role, i), caf::actor_cast<caf::strong_actor_ptr>(to[i]));
  };
  const auto all = [&](const auto& from, proto::Role role, const auto& to) -> Expected<void> {
    for (const auto& who : from)
      for (std::uint32_t i = 0; i < to.size(); ++i)
        if (auto met = one(who, role, to, i); !met) return met;
    return {};
  };
  if (auto met = all(routers, proto::Role::expert, experts); !met) return met;
  for (std::uint32_t i = 0; settings.colocated && i < attention.size(); ++i)
    if (auto met = one(attention[i], proto::Role::router, routers, i); !met) return met;
  if (!settings.colocated)
    if (auto met = all(attention, proto::Role::router, routers); !met) return met;
  return all(std::vector{gateway}, proto::Role::attention, attention);
}

void LocalCluster::Impl::stop() {
  if (!system) return;
  if (gateway) caf::anon_send(gateway, stop_atom_v);
  const auto end = [](const auto& actor) {
    if (actor) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  };
  // The gateway first: its sessions hear that they are cancelled before the shards go.
  if (gateway) {
    caf::scoped_actor self{*system};
    self->wait_for(gateway);
  }
  for (const auto& actor : attention) end(actor);
  for (const auto& actor : routers) end(actor);
  for (const auto& actor : experts) end(actor);
  end(director);
  gateway = nullptr;
  director = nullptr;
  attention.clear();
  routers.clear();
  experts.clear();
  auto* ended = system.get();
  system.reset();  // waits for every actor and its thread
  mark_acquire(ended);
}

LocalCluster::LocalCluster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LocalCluster::~LocalCluster() = default;

Expected<std::unique_ptr<LocalCluster>> LocalCluster::start(const model::Checkpoint& checkpoint,
                                                            const ClusterSettings& settings,
                                                            ClusterHooks hooks) {
  const auto refused = [](const char* what) {
    return unexpected(Errc::resource_exhausted,
                      std::string("cannot start the roles: ") + what +
                          "; raise the limits on memory and threads (ulimit -a) or ask for fewer");
  };
  try {
    auto impl = std::make_unique<Impl>(checkpoint, settings, std::move(hooks));
    if (auto prepared = impl->prepare(); !prepared) return unexpected(prepared.error());
    impl->spawn();
    if (auto met = impl->introduce(); !met) {
      // Nobody leaves a cluster that begins, unless a thread or memory was not to be had.
      if (met.error().code == Errc::unavailable) return refused(met.error().detail.c_str());
      return unexpected(met.error());
    }
    return std::unique_ptr<LocalCluster>(new LocalCluster(std::move(impl)));
  } catch (const std::system_error& error) {  // std::thread
    return refused(error.what());
  } catch (const std::bad_alloc& error) {
    return refused(error.what());
  }
}

Expected<RequestId> LocalCluster::submit(GenerateRequest request,
                                         std::shared_ptr<RequestListener> listener) {
  if (auto fine = check_request(request, impl_->checkpoint.config()); !fine)
    return unexpected(fine.error());
  const RequestId id = impl_->next_request.fetch_add(1);
  caf::anon_send(
      impl_->gateway, open_atom_v,
      OpenOrder{id, std::make_shared<GenerateRequest>(std::move(request)), std::move(listener)});
  return id;
}

void LocalCluster::cancel(RequestId request) {
  caf::anon_send(impl_->gateway, cancel_atom_v, request);
}

namespace {

constexpr std::chrono::seconds kAnswer{10};

/// Asks one actor for its status; `take` is not called when it is gone.
template <class Status, class Handle, class Take>
void ask(caf::scoped_actor& self, const Handle& actor, Take take) {
  self->request(actor, kAnswer, status_atom_v)
      .receive([&](const Status& status) { take(status); }, [](const caf::error&) {});
}

/// Asks a role for its links.
template <class Handle>
void ask_links(caf::scoped_actor& self, const Handle& actor, RoleStatuses& all) {
  self->request(actor, kAnswer, links_atom_v)
      .receive(
          [&](const LinkReports& more) {
            all.links.insert(all.links.end(), more.links.begin(), more.links.end());
            all.link_endings.insert(all.link_endings.end(), more.endings.begin(),
                                    more.endings.end());
          },
          [](const caf::error&) {});
}

/// Asks the roles of one kind.
template <class Status, class Handle>
void ask_all(caf::scoped_actor& self, const std::vector<Handle>& actors,
             std::vector<std::pair<std::uint32_t, Status>>& out, RoleStatuses& all) {
  for (std::uint32_t i = 0; i < actors.size(); ++i) {
    ask<Status>(self, actors[i], [&](const Status& status) { out.emplace_back(i, status); });
    ask_links(self, actors[i], all);
  }
}

}  // namespace

RoleStatuses LocalCluster::roles() const {
  RoleStatuses all;
  caf::scoped_actor self{*impl_->system};
  ask<GatewayStatus>(self, impl_->gateway, [&](const auto& status) { all.gateway = status; });
  ask_links(self, impl_->gateway, all);
  ask_all(self, impl_->attention, all.attention, all);
  ask_all(self, impl_->routers, all.routers, all);
  ask_all(self, impl_->experts, all.experts, all);
  for (const auto& [index, router] : all.routers) all.epoch = std::max(all.epoch, router.epoch);
  return all;
}

Readiness LocalCluster::readiness() const { return {}; }

std::uint64_t LocalCluster::numerics_id() const { return impl_->numerics_number; }

ClusterStatus LocalCluster::status() const {
  ClusterStatus all;
  all.numerics_id = impl_->numerics_number;
  all.derived_bytes = impl_->models.attention->derived_bytes();
  for (const auto& expert : impl_->models.experts) all.derived_bytes += expert->derived_bytes();
  caf::scoped_actor self{*impl_->system};
  ask<GatewayStatus>(self, impl_->gateway, [&](const GatewayStatus& one) {
    all.requests_open = one.requests_open;
    all.requests_total = one.requests_total;
    all.replays_total = one.replays_total;
    all.stale_frames_total += one.stale_frames_total;
  });
  for (const auto& shard : impl_->attention)
    ask<AttentionStatus>(self, shard, [&](const AttentionStatus& one) {
      all.running += one.running;
      all.waiting += one.waiting;
      all.kv_pages_used += one.kv_pages_used;
      all.kv_pages_max += one.kv_pages_max;
      all.preemptions_total += one.preemptions_total;
      all.cached_tokens_total += one.cached_tokens_total;
      all.steps_total += one.steps_total;
      all.cut_steps_total += one.cut_steps_total;
      all.work_items_resent_total += one.work_items_resent_total;
      all.stale_frames_total += one.stale_frames_total;
    });
  for (const auto& router : impl_->routers)
    ask<RouterStatus>(self, router, [&](const RouterStatus& one) {
      all.term = std::max(all.term, one.term);
      all.epoch = std::max(all.epoch, one.epoch);
      all.work_items_total += one.items_total;
      all.work_items_failed_total += one.items_failed_total;
      all.stale_frames_total += one.stale_frames_total;
    });
  for (const auto& shard : impl_->experts)
    ask<ExpertStatus>(self, shard, [&](const ExpertStatus& one) {
      all.expert_tokens.resize(one.tokens.size(), 0);
      for (std::size_t i = 0; i < one.tokens.size(); ++i) all.expert_tokens[i] += one.tokens[i];
    });
  return all;
}

Expected<std::uint64_t> LocalCluster::publish(model::Placement placement) {
  caf::scoped_actor self{*impl_->system};
  PublishOutcome published{0, {Errc::unavailable, "the director did not answer"}};
  self->request(impl_->director, std::chrono::seconds(10), publish_atom_v,
                PlacementNote{std::make_shared<const PublishedPlacement>(
                    PublishedPlacement{std::move(placement), false})})
      .receive([&](const PublishOutcome& outcome) { published = outcome; },
               [](const caf::error&) {});
  if (published.error.code != Errc::ok) return unexpected(published.error);
  return published.epoch;
}

void LocalCluster::kill(PeerId actor) {
  const auto index = index_of(actor);
  const auto end = [&](const auto& actors) {
    if (index < actors.size()) caf::anon_send_exit(actors[index], caf::exit_reason::kill);
  };
  switch (role_of(actor)) {
    case proto::Role::expert: return end(impl_->experts);
    case proto::Role::router: return end(impl_->routers);
    case proto::Role::attention: return end(impl_->attention);
    case proto::Role::gateway: return end(std::vector{impl_->gateway});
  }
}

}  // namespace troupe::actors
