// Processes, links and the role that asks.
#include "tests/bench/round_trip_hosts.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <map>

#include "actors/attention/row_exchange.hpp"
#include "actors/role_actor.hpp"
#include "actors/row_codec.hpp"
#include "model/placement.hpp"
#include "proto/identity.hpp"

namespace troupe::bench {
namespace {

using namespace actors;

const PeerId kAsker = peer_id(proto::Role::attention, 0);
const PeerId kRouter = peer_id(proto::Role::router, 0);
const PeerId kExpert = peer_id(proto::Role::expert, 0);

template <class T>
T must(Expected<T> value) {
  TROUPE_CHECK(value.has_value(), value.error().detail);
  return std::move(*value);
}

/// What is timed, and where the outcome goes.
struct Course {
  TripOptions options;
  std::promise<std::vector<double>> done;
};

/// An attention shard that has nothing to do but to wait for its rows.
class AskingRole : public Role {
 public:
  AskingRole(const RoleContext& context, const model::ModelConfig& config, Course& course)
      : Role(context),
        course_(course),
        layer_(moe_layer(config)),
        exchange_(peers_, standings_,
                  {.hop_budget = std::chrono::seconds(20),
                   .width = static_cast<std::uint32_t>(config.hidden_size)}) {
    const auto rows = course.options.rows;
    std::vector<float> values(static_cast<std::size_t>(rows * config.hidden_size));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(i % 17) / 8.0f - 1.0f;
    const auto bytes = static_cast<std::size_t>(rows) *
                       proto::row_block_bytes(1, static_cast<std::uint32_t>(config.hidden_size),
                                              proto::WireDtype::bf16);
    rows_ = std::make_shared<transport::Buffer>(peers_.buffers().take(bytes));
    pack_rows(*engine_.table, values.data(), rows, config.hidden_size, proto::WireDtype::bf16,
              rows_->data());
  }
  ~AskingRole() override { stop(); }

 private:
  void on_joined(PeerId) override { ask(); }
  void on_lost(PeerId peer, const Error& why) override {
    TROUPE_CHECK(taken_.size() >= course_.options.trips, name_of(peer) + ": " + why.detail);
  }
  void on_frame(PeerId peer, transport::ReceivedFrame&& frame) override {
    if (const auto* failed = std::get_if<proto::Failed>(&frame.body))
      TROUPE_CHECK(false, std::string(failed->detail));
    exchange_.on_combined(peer, std::move(frame));
  }
  bool work() override {
    const bool busy = exchange_.tick(now());
    if (!asked_ || !exchange_.finished()) return busy;
    exchange_.take_answers();
    if (++trips_ > course_.options.warm_up)
      taken_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - began_).count());
    asked_ = taken_.size() < course_.options.trips;
    if (asked_)
      ask();
    else
      course_.done.set_value(taken_);
    return true;
  }
  std::optional<TimePoint> role_deadline() const override { return exchange_.next_deadline(); }
  void ask() {
    asked_ = true;
    began_ = Clock::now();
    const RowRange all{0, course_.options.rows};
    exchange_.begin(layer_, proto::Lane::decode, rows_, {&all, 1}, began_);
  }

  Course& course_;
  std::int32_t layer_;
  RowExchange exchange_;
  RowExchange::Packed rows_;
  std::vector<double> taken_;
  std::size_t trips_ = 0;
  bool asked_ = false;
  TimePoint began_;
};

class Asker : public RoleActor<LinkedActor, AskingRole> {
 public:
  Asker(caf::actor_config& config, SpawnContext context, const model::ModelConfig& model,
        Course& course)
      : RoleActor(config, std::move(context), proto::Role::attention),
        model_(model),
        course_(course) {}

 protected:
  std::unique_ptr<AskingRole> make_role() override {
    return std::make_unique<AskingRole>(context().role, model_, course_);
  }
  behavior_type make_behavior() override { return with_links(); }

 private:
  const model::ModelConfig& model_;
  Course& course_;
};

/// An expert shard whose experts cost nothing: zeros for every pair. What an expert computes for
/// rows as wide as V3's takes longer than the trip, however narrow it is inside.
class ZeroRole : public Role {
 public:
  explicit ZeroRole(const RoleContext& context) : Role(context) {}
  ~ZeroRole() override { stop(); }

 private:
  void on_joined(PeerId) override {}
  void on_lost(PeerId, const Error&) override {}
  bool work() override { return false; }
  std::optional<TimePoint> role_deadline() const override { return std::nullopt; }
  void on_frame(PeerId router, transport::ReceivedFrame&& frame) override {
    const auto& asked = std::get<proto::ExpertRows>(frame.body);
    std::vector<proto::ReplyPair> pairs;
    for (const auto pair : asked.pairs)
      pairs.push_back(
          {pair.row, pair.expert, static_cast<std::uint16_t>(proto::PairStatus::ok), 0});
    proto::ExpertReply body{asked.micro_batch, 0, 0, pairs, {}};
    const auto rows = static_cast<std::uint32_t>(pairs.size());
    const auto bytes = rows * proto::row_block_bytes(1, asked.rows.width, asked.rows.dtype);
    auto zeros = std::make_shared<transport::Buffer>(peers_.buffers().take(bytes));
    std::memset(zeros->data(), 0, bytes);
    body.rows = {rows, asked.rows.width, asked.rows.dtype, zeros->span()};
    const auto header = proto::reply_header(frame.header, peers_.header().sender_incarnation,
                                            frame.header.remaining_us);
    auto reply = transport::make_frame_head(peers_.buffers(), header, body);
    reply.rows.push_back(zeros->span());
    peers_.send(router, std::move(reply), [zeros](Errc) {});
  }
};

class ZeroExpert : public RoleActor<LinkedActor, ZeroRole> {
 public:
  ZeroExpert(caf::actor_config& config, SpawnContext context)
      : RoleActor(config, std::move(context), proto::Role::expert) {}

 protected:
  std::unique_ptr<ZeroRole> make_role() override {
    return std::make_unique<ZeroRole>(context().role);
  }
  behavior_type make_behavior() override { return with_links(); }
};

struct SystemConfig : caf::actor_system_config {
  SystemConfig() {
    set("scheduler.max-threads", 1u);
    set("scheduler.policy", caf::atom("sharing"));
    set("logger.console", caf::atom("none"));
  }
};

/// The roles of one process.
class Host {
 public:
  Host(const model::Checkpoint& checkpoint, const TripOptions& options)
      : checkpoint_(checkpoint), options_(options) {}
  ~Host() {
    for (auto& [id, role] : roles_) caf::anon_send_exit(role, caf::exit_reason::user_shutdown);
    roles_.clear();
  }

  void spawn(PeerId peer, Course* course) {
    const model::Numerics numerics;
    const auto context = make_context(peer);
    if (peer == kAsker) {
      roles_[peer] = system_.spawn<Asker>(context, checkpoint_.config(), *course);
    } else if (peer == kRouter) {
      auto model = std::make_shared<const model::RouterModel>(
          must(model::RouterModel::load(checkpoint_, numerics, engine_)));
      const auto router = spawn_router(system_, context, {.numerics = numerics}, model, {});
      const auto& config = checkpoint_.config();
      caf::anon_send(router, adopt_atom_v,
                     PlacementPtr(std::make_shared<PublishedPlacement>(PublishedPlacement{
                         model::static_placement(config.num_layers, config.routed_experts, 1)})));
      roles_[peer] = router;
    } else if (!options_.experts_compute) {
      roles_[peer] = system_.spawn<ZeroExpert>(context);
    } else {
      auto model = std::make_shared<const model::ExpertModel>(must(model::ExpertModel::load(
          checkpoint_, numerics, engine_, {0, checkpoint_.config().routed_experts})));
      roles_[peer] = spawn_expert(system_, context, {.numerics = numerics}, model, {});
    }
  }
  void meet(PeerId opener, PeerId acceptor) {
    const auto outcome = ask<MeetOutcome>(
        opener, meet_atom_v, acceptor, caf::actor_cast<caf::strong_actor_ptr>(roles_.at(acceptor)));
    TROUPE_CHECK(outcome.error.code == Errc::ok, outcome.error.detail);
  }
  std::string dial(PeerId from, PeerId to) {
    return address(ask<DialOutcome>(from, dial_atom_v, to, false));
  }
  std::string accept(PeerId at, PeerId from, const std::string& opener) {
    return address(ask<DialOutcome>(at, accept_atom_v, from, opener));
  }
  std::string dialled(PeerId from, PeerId to, const std::string& acceptor) {
    const auto outcome = ask<MeetOutcome>(from, dialled_atom_v, to, acceptor);
    TROUPE_CHECK(outcome.error.code == Errc::ok, outcome.error.detail);
    return {};
  }
  std::string lanes(PeerId of) {
    std::string lanes;
    for (const auto& link : ask<LinkReports>(of, links_atom_v).links) lanes += link.lanes;
    return lanes;
  }

 private:
  static std::string address(const DialOutcome& outcome) {
    TROUPE_CHECK(outcome.error.code == Errc::ok, outcome.error.detail);
    return outcome.address;
  }
  template <class Answer, class... Words>
  Answer ask(PeerId who, Words... words) {
    std::optional<Answer> heard;
    self_->request(roles_.at(who), std::chrono::seconds(30), std::move(words)...)
        .receive([&](const Answer& answer) { heard = answer; },
                 [](const caf::error& error) { TROUPE_CHECK(false, to_string(error)); });
    return *heard;
  }
  SpawnContext make_context(PeerId peer) {
    SpawnContext context;
    context.poll.poll_us = options_.poll_us;
    context.role.credentials.role = role_of(peer);
    context.role.credentials.index = index_of(peer);
    context.role.credentials.identity = {1, 2, peer + 1};
    context.role.wire = wire_;
    context.role.engine = engine_;
    context.role.inline_us_max = options_.inline_us_max;
    context.role.compute = [this](ComputeLane::Work job) { return pool_.submit(std::move(job)); };
    if (options_.layout == "shm") context.dock.transport = Transport::shm;
    if (options_.layout == "tcp") context.dock.transport = Transport::tcp;
    return context;
  }

  const model::Checkpoint& checkpoint_;
  const TripOptions& options_;
  kernels::ComputePool pool_{{.threads = 1}};
  kernels::Engine engine_{must(kernels::select_level("auto")), &pool_};
  std::shared_ptr<LocalWire> wire_ = std::make_shared<LocalWire>();
  SystemConfig config_;
  caf::actor_system system_{config_};
  std::map<PeerId, LinkedActor> roles_;
  caf::scoped_actor self_{system_};
};

/// One call on a host, as it crosses a socket: what, the role here, the peer, an address.
struct Call {
  char what = 'q';  // spawn, dial, accept, dialled, quit: s, d, a, o, q
  PeerId self = 0;
  PeerId peer = 0;
};

std::string perform(Host& host, const Call& call, const std::string& address) {
  switch (call.what) {
    case 's': return host.spawn(call.self, nullptr), std::string();
    case 'd': return host.dial(call.self, call.peer);
    case 'a': return host.accept(call.self, call.peer, address);
    case 'o': return host.dialled(call.self, call.peer, address);
    default: return {};
  }
}

constexpr std::size_t kWordsMax = 65536;

/// A host in a process of its own, or here when `local` is given.
class Station {
 public:
  explicit Station(Host& local) : local_(&local) {}
  Station(const model::Checkpoint& checkpoint, const TripOptions& options) {
    int ends[2];
    TROUPE_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0, "socketpair");
    pid_ = ::fork();
    TROUPE_CHECK(pid_ >= 0, "fork");
    if (pid_ == 0) {
      serve(ends[1], checkpoint, options);
      ::_exit(0);
    }
    ::close(ends[1]);
    socket_ = ends[0];
  }
  Station(const Station&) = delete;
  ~Station() {
    if (pid_ == 0) return;
    call({});
    ::close(socket_);
    ::waitpid(pid_, nullptr, 0);
  }

  std::string call(Call call, const std::string& address = {}) {
    if (local_ != nullptr) return perform(*local_, call, address);
    std::string words(reinterpret_cast<const char*>(&call), sizeof call);
    words += address;
    TROUPE_CHECK(::send(socket_, words.data(), words.size(), 0) >= 0, "the other process has gone");
    std::string answer(kWordsMax, '\0');
    const auto got = ::recv(socket_, answer.data(), answer.size(), 0);
    TROUPE_CHECK(got > 0, "the other process has gone");
    answer.resize(static_cast<std::size_t>(got) - 1);  // a byte more than the answer: never empty
    return answer;
  }

 private:
  static void serve(int socket, const model::Checkpoint& checkpoint, const TripOptions& options) {
    Host host(checkpoint, options);
    std::string words(kWordsMax, '\0');
    for (;;) {
      const auto got = ::recv(socket, words.data(), words.size(), 0);
      Call call;
      if (got < static_cast<ssize_t>(sizeof call)) return;
      std::memcpy(&call, words.data(), sizeof call);
      const auto answer = perform(host, call, words.substr(sizeof call, got - sizeof call)) + '.';
      TROUPE_CHECK(::send(socket, answer.data(), answer.size(), 0) >= 0, "the asker has gone");
      if (call.what == 'q') return;
    }
  }
  Host* local_ = nullptr;
  pid_t pid_ = 0;
  int socket_ = -1;
};

void connect(Station& opener, PeerId from, Station& acceptor, PeerId to) {
  const auto theirs = acceptor.call({'a', to, from}, opener.call({'d', from, to}));
  opener.call({'o', from, to}, theirs);
}

struct Used {
  double us;
  std::uint64_t sleeps;
};
Used used_by_this_process() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& time) { return 1e6 * time.tv_sec + time.tv_usec; };
  return {us(usage.ru_utime) + us(usage.ru_stime), static_cast<std::uint64_t>(usage.ru_nvcsw)};
}

TripResult measure(Host& here, std::function<void()> begin, Course& course) {
  TripResult result;
  const auto before = used_by_this_process();
  begin();
  result.us = course.done.get_future().get();
  const auto after = used_by_this_process();
  const auto trips = static_cast<double>(course.options.trips + course.options.warm_up);
  result.cpu_us = (after.us - before.us) / trips;
  result.sleeps = after.sleeps - before.sleeps;
  result.lanes = here.lanes(kAsker);
  return result;
}

}  // namespace

std::int32_t moe_layer(const model::ModelConfig& config) {
  std::int32_t layer = 0;
  while (!config.is_moe(layer)) ++layer;
  return layer;
}

TripResult run_trips(const model::Checkpoint& checkpoint, const TripOptions& options) {
  Course course;
  course.options = options;
  if (options.layout == "inproc") {
    Host host(checkpoint, options);
    for (const auto role : {kExpert, kRouter, kAsker}) host.spawn(role, &course);
    host.meet(kRouter, kExpert);
    return measure(
        host, [&] { host.meet(kAsker, kRouter); }, course);
  }
  Station expert(checkpoint, options);  // before this process has threads
  Station router(checkpoint, options);
  Host host(checkpoint, options);
  Station here(host);
  expert.call({'s', kExpert});
  router.call({'s', kRouter});
  host.spawn(kAsker, &course);
  connect(router, kRouter, expert, kExpert);
  return measure(
      host, [&] { connect(here, kAsker, router, kRouter); }, course);
}

double compute_us(const model::Checkpoint& checkpoint, const TripOptions& options) {
  const std::int64_t rows = options.rows;
  kernels::ComputePool pool({.threads = 1});
  const kernels::Engine engine{must(kernels::select_level("auto")), &pool};
  const auto router = must(model::RouterModel::load(checkpoint, {}, engine));
  const auto& config = checkpoint.config();
  const auto expert =
      must(model::ExpertModel::load(checkpoint, {}, engine, {0, config.routed_experts}));
  const auto hidden = static_cast<std::size_t>(config.hidden_size);
  const auto k = static_cast<std::size_t>(config.experts_per_token);
  std::vector<float> in(static_cast<std::size_t>(rows) * hidden, 0.5f);
  std::vector<float> out(in.size() * k);
  std::vector<float> sum(hidden);
  const auto layer = moe_layer(config);
  const kernels::SoloGuard alone;
  double best = 1e9;
  for (int i = 0; i < 2000; ++i) {
    const auto began = Clock::now();
    const auto routing = router.gate(layer, in.data(), rows);
    std::vector<model::RowExpert> pairs;
    for (std::size_t slot = 0; slot < routing.experts.size(); ++slot)
      pairs.push_back({static_cast<std::int32_t>(slot / k), routing.experts[slot]});
    if (options.experts_compute) expert.run(layer, {in.data(), nullptr, rows, pairs, out.data()});
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
      std::vector<const float*> replies;
      for (std::size_t i = 0; i < k; ++i) replies.push_back(out.data() + (row * k + i) * hidden);
      router.combine(replies, {routing.weights.data() + row * k, k}, sum.data());
    }
    best = std::min(best, std::chrono::duration<double, std::micro>(Clock::now() - began).count());
  }
  return best;
}

}  // namespace troupe::bench
