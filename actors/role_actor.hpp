// A polled actor around a role: the thread, the links' other ends, the peers it opens links to.
#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/interfaces.hpp"
#include "actors/polled_actor.hpp"
#include "actors/running_clock.hpp"
#include "actors/spawn_roles.hpp"
#include "actors/ucx_dock.hpp"

namespace troupe::actors {

/// `Handle` is the typed actor, `RoleT` what it drives; made by `make_role` on the actor's thread.
/// It answers the messages of LinkedActor itself.
template <class Handle, class RoleT>
class RoleActor : public polled_actor<typename Handle::base> {
 public:
  using Super = polled_actor<typename Handle::base>;

  RoleActor(caf::actor_config& config, SpawnContext context, proto::Role role)
      : Super(config, poll_settings(context, role),
              context.role.wire->bell(peer_id(role, context.role.credentials.index))),
        context_(std::move(context)),
        self_(peer_id(role, context_.role.credentials.index)) {}

 protected:
  virtual std::unique_ptr<RoleT> make_role() = 0;
  virtual void adopt(const PlacementPtr&) {}

  bool poll() override { return role_->poll(now()); }
  bool arm() override {
    watch_links();
    return role_->arm();
  }
  std::optional<TimePoint> next_deadline() const override {
    auto deadline = role_->next_deadline();
    const auto look = role_->next_look();
    if (look && (!deadline || *look < *deadline)) deadline = look;
    if (!deadline || !context_.hides_stops) return deadline;
    return clock_.wake(*deadline);
  }
  void thread_begins() override {
    dock_ =
        std::make_unique<UcxDock>(context_.dock, context_.role.wire->buffers(), context_.on_event);
    role_ = make_role();
    role_->set_link_watcher([this](PeerId peer, const Error* lost) { tell_link(peer, lost); });
  }
  void thread_ends() override {
    role_.reset();
    dock_.reset();
  }
  RoleT& role() { return *role_; }
  const SpawnContext& context() const { return context_; }
  /// The time that the role goes by.
  TimePoint now() {
    const auto now = Clock::now();
    return context_.hides_stops ? clock_.at(now) : now;
  }

  /// The behavior of `handlers` and of LinkedActor.
  template <class... Handlers>
  typename Handle::behavior_type with_links(Handlers... handlers) {
    return {std::move(handlers)...,
            [this](meet_atom, PeerId peer, const caf::strong_actor_ptr& who) {
              return meet(peer, who);
            },
            [this](attach_atom, PeerId peer, const LinkEnd& end) {
              role_->peers().add(peer, std::move(*end.link), /*speaks_first=*/false, now(), {});
            },
            [this](dial_atom, PeerId peer, bool over_tcp) {
              return outcome(dock_->dial(peer, over_tcp));
            },
            [this](dialled_atom, PeerId peer, const std::string& address) {
              return open(peer, address);
            },
            [this](abandon_atom, PeerId peer) { dock_->abandon(peer); },
            [this](accept_atom, PeerId peer, const std::string& address) {
              return accept(peer, address);
            },
            [this](drop_atom, PeerId peer, const std::string& why) {
              role_->peers().lose(peer, {Errc::unavailable, name_of(peer) + ": " + why});
            },
            [this](rejoin_atom, std::uint64_t incarnation) { role_->rejoin(incarnation, now()); },
            [this](adopt_atom, const PlacementPtr& next) { adopt(next); },
            [this](links_atom) {
              return LinkReports{role_->peers().links(), role_->peers().endings()};
            }};
  }

 private:
  /// A gateway's pass calls listeners, which are not ours to run on a compute thread.
  static PollSettings poll_settings(const SpawnContext& context, proto::Role role) {
    return {context.poll.poll_us, role != proto::Role::gateway};
  }
  static DialOutcome outcome(Expected<std::string> dialled) {
    if (!dialled) return {{}, dialled.error()};
    return {std::move(*dialled), {Errc::ok, {}}};
  }
  /// Opens an in-process link: keeps one end, sends the other, says hello.
  caf::result<MeetOutcome> meet(PeerId peer, const caf::strong_actor_ptr& who) {
    auto pair = context_.role.wire->connect(self_, peer);
    LinkEnd theirs{std::make_shared<std::unique_ptr<transport::Link>>(std::move(pair.b))};
    this->send(caf::actor_cast<LinkedActor>(who), attach_atom_v, self_, std::move(theirs));
    return say_hello(peer, std::move(pair.a));
  }
  caf::result<MeetOutcome> open(PeerId peer, const std::string& address) {
    auto link = dock_->dialled(peer, address);
    if (!link) return MeetOutcome{link.error()};
    return say_hello(peer, std::move(*link));
  }
  /// The promise hears the outcome.
  caf::result<MeetOutcome> say_hello(PeerId peer, std::unique_ptr<transport::Link> link) {
    auto promise = this->template make_response_promise<MeetOutcome>();
    role_->peers().add(peer, std::move(link), /*speaks_first=*/true, now(),
                       [promise](const Expected<transport::Greeting>& greeting) mutable {
                         promise.deliver(greeting ? MeetOutcome{} : MeetOutcome{greeting.error()});
                       });
    return promise;
  }
  DialOutcome accept(PeerId peer, const std::string& address) {
    auto accepted = dock_->accept(address);
    if (!accepted) return {{}, accepted.error()};
    role_->peers().add(peer, std::move(accepted->link), /*speaks_first=*/false, now(), {});
    return {std::move(accepted->address), {Errc::ok, {}}};
  }

  /// Brings the watched descriptors up to date. All of them anew: a new link's may have the number
  /// of one that was closed.
  void watch_links() {
    const auto version = role_->peers().links_version();
    if (version == std::exchange(watched_version_, version)) return;
    for (const int fd : watched_) this->unwatch(fd);
    watched_ = role_->peers().event_fds();
    for (const int fd : watched_) this->watch(fd);
  }
  void tell_link(PeerId peer, const Error* lost) {
    if (!context_.on_event) return;
    using Severity = NodeEvent::Severity;
    const auto who = "role=" + name_of(self_) + " peer=" + name_of(peer);
    if (lost != nullptr)
      return context_.on_event({Severity::warning, "link_lost", who + " cause=" + lost->detail});
    auto lanes = role_->peers().lanes(peer);
    const auto fault = dock_->fell_back(peer) && lanes == "tcp"
                           ? std::string(kForeignMemory)
                           : lane_fault(context_.dock.transport, lanes);
    std::replace(lanes.begin(), lanes.end(), ' ', ',');
    context_.on_event({Severity::info, "link_joined", who + " lanes=" + lanes});
    if (!fault.empty())
      context_.on_event({Severity::warning, "link_fell_back",
                         who + " asked=" + std::string(to_string(context_.dock.transport)) +
                             " lanes=" + lanes + " cause=" + fault});
  }

  static constexpr const char* kForeignMemory =
      "shared memory of the two processes cannot be opened, see meeting_failed: run both as one "
      "user, or set transport.lanes to tcp";
  SpawnContext context_;
  PeerId self_;
  RunningClock clock_{Clock::now()};
  std::unique_ptr<UcxDock> dock_;
  std::unique_ptr<RoleT> role_;
  std::vector<int> watched_;
  std::uint64_t watched_version_ = 0;
};

}  // namespace troupe::actors
