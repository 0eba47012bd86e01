// The session actor: notes of the gateway to its core, its core's wishes to the gateway.
//
// When its gateway disappears, the request ends with `unavailable`: nobody could bring its tokens.
#include <algorithm>

#include "actors/spawn_roles.hpp"

namespace troupe::actors {
namespace {

/// A timer keeps its actor in memory after its end: long waits are made of short ones.
constexpr std::chrono::seconds kTimer{2};
/// The shard ends a request at a step boundary; the timer is for one that no longer answers.
constexpr std::chrono::seconds kGrace{1};

struct SessionState {
  static inline const char* name = "troupe.session";
  std::unique_ptr<SessionCore> core;
  GatewayActor gateway;
  Clock::duration left{};  // until its deadline has passed for good, when the next timer fires
};
using Self = SessionActor::stateful_pointer<SessionState>;

void follow(Self self, SessionCore::Next next) {
  auto& state = self->state;
  if (next == SessionCore::Next::submit_again)
    self->send(state.gateway, submit_atom_v, state.core->order(Clock::now()));
  if (next == SessionCore::Next::done) {
    self->send(state.gateway, cancel_atom_v, state.core->id());  // forgets it; often has already
    self->demonitor(state.gateway.address());  // which would remember every session it ever had
    self->quit();
  }
}

void give_up(Self self, FinishReason reason, Errc code, const char* detail) {
  follow(self, self->state.core->give_up(reason, {code, detail}, Clock::now()));
}

void set_timer(Self self, Clock::duration left) {
  const auto next = std::clamp<Clock::duration>(left, Clock::duration::zero(), kTimer);
  self->state.left = left - next;
  self->delayed_send(self, next, expire_atom_v);
}

void on_timer(Self self) {
  if (self->state.left > Clock::duration::zero()) return set_timer(self, self->state.left);
  give_up(self, FinishReason::error, Errc::deadline_exceeded, "the request's deadline has passed");
}

SessionActor::behavior_type session(Self self, GatewayActor gateway, OpenOrder order,
                                    std::uint32_t attempts_max) {
  auto& state = self->state;
  state.gateway = gateway;
  state.core = std::make_unique<SessionCore>(order.request, *order.asked, order.listener,
                                             attempts_max, Clock::now());
  self->monitor(gateway);
  self->set_down_handler([self](const caf::down_msg&) {
    give_up(self, FinishReason::error, Errc::unavailable, "the gateway has ended");
  });
  self->send(gateway, submit_atom_v, state.core->order(Clock::now()));
  if (const auto deadline = state.core->deadline())
    set_timer(self, *deadline + kGrace - Clock::now());
  return {[self](const TokensNote& note) {
            follow(self, self->state.core->on_tokens(note, Clock::now()));
          },
          [self](const LogitsNote& note) { follow(self, self->state.core->on_logits(note)); },
          [self](const PromptLogprobsNote& note) {
            follow(self, self->state.core->on_prompt_logprobs(note));
          },
          [self](const BrokenNote& note) {
            follow(self, self->state.core->on_broken(note, Clock::now()));
          },
          [self](cancel_atom) {
            give_up(self, FinishReason::cancelled, Errc::cancelled, "withdrawn by the caller");
          },
          [self](expire_atom) { on_timer(self); }};
}

}  // namespace

SessionActor spawn_session(caf::actor_system& system, const GatewayActor& gateway, OpenOrder order,
                           std::uint32_t attempts_max) {
  return system.spawn(session, gateway, std::move(order), attempts_max);
}

}  // namespace troupe::actors
