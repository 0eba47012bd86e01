// A polled actor around a role: the thread, the links' other ends, the peers it opens links to.
#pragma once
#include <functional>
#include <memory>
#include <utility>

#include "actors/interfaces.hpp"
#include "actors/polled_actor.hpp"
#include "actors/running_clock.hpp"

namespace troupe::actors {

/// `Handle` is the typed actor, `RoleT` what it drives; made by `make` on the actor's thread.
template <class Handle, class RoleT>
class RoleActor : public polled_actor<typename Handle::base> {
 public:
  using Super = polled_actor<typename Handle::base>;
  using Make = std::function<std::unique_ptr<RoleT>()>;

  RoleActor(caf::actor_config& config, PollSettings poll, std::shared_ptr<LocalWire> wire,
            PeerId self)
      : Super(config, poll, wire->bell(self)), wire_(std::move(wire)), self_(self) {}

 protected:
  virtual std::unique_ptr<RoleT> make_role() = 0;

  bool poll() override { return role_->poll(now()); }
  bool arm() override { return role_->arm(); }
  std::optional<TimePoint> next_deadline() const override {
    const auto deadline = role_->next_deadline();
    return deadline ? std::optional(clock_.wake(*deadline)) : std::nullopt;
  }
  void thread_begins() override { role_ = make_role(); }
  void thread_ends() override { role_.reset(); }
  RoleT& role() { return *role_; }
  /// The time that the role goes by.
  TimePoint now() { return clock_.at(Clock::now()); }
  const std::shared_ptr<LocalWire>& wire() const { return wire_; }

  /// Opens a link: keeps one end, sends the other, says hello. The promise hears the outcome.
  template <class PeerHandle>
  caf::result<MeetOutcome> meet(PeerId peer, const caf::strong_actor_ptr& handle) {
    auto promise = this->template make_response_promise<MeetOutcome>();
    auto pair = wire_->connect(self_, peer);
    LinkEnd theirs{std::make_shared<std::unique_ptr<transport::Link>>(std::move(pair.b))};
    this->send(caf::actor_cast<PeerHandle>(handle), attach_atom_v, self_, std::move(theirs));
    role_->peers().add(peer, std::move(pair.a), /*speaks_first=*/true, now(),
                       [promise](const Expected<transport::Greeting>& greeting) mutable {
                         promise.deliver(greeting ? MeetOutcome{} : MeetOutcome{greeting.error()});
                       });
    return promise;
  }
  /// The other end of such a link.
  void attach(PeerId peer, const LinkEnd& end) {
    role_->peers().add(peer, std::move(*end.link), /*speaks_first=*/false, now(), {});
  }

 private:
  std::shared_ptr<LocalWire> wire_;
  PeerId self_;
  RunningClock clock_{Clock::now()};
  std::unique_ptr<RoleT> role_;
};

}  // namespace troupe::actors
