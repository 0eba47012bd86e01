// The gateway actor: sessions on one side, its role's links on the other.
#include <map>

#include "actors/role_actor.hpp"
#include "actors/spawn_roles.hpp"

namespace troupe::actors {
namespace {

class Gateway : public RoleActor<GatewayActor, GatewayRole>, public GatewayRole::Sink {
 public:
  Gateway(caf::actor_config& config, SpawnContext context, GatewaySettings settings,
          std::uint32_t attempts_max)
      : RoleActor(config, std::move(context), proto::Role::gateway),
        settings_(settings),
        attempts_max_(attempts_max) {}
  const char* name() const override { return "troupe.gateway"; }

 protected:
  std::unique_ptr<GatewayRole> make_role() override {
    return std::make_unique<GatewayRole>(context().role, settings_, *this);
  }
  behavior_type make_behavior() override {
    return with_links(
        [this](open_atom, const OpenOrder& order) {
          sessions_[order.request] =
              spawn_session(home_system(), GatewayActor{this}, order, attempts_max_);
        },
        [this](submit_atom, const SubmitOrder& order) { submit(order); },
        [this](cancel_atom, RequestId request) { cancel(request); },
        [this](stop_atom) {
          while (!sessions_.empty()) cancel(sessions_.begin()->first);
          quit(caf::exit_reason::user_shutdown);
        },
        [this](status_atom) { return role().status(); });
  }

 private:
  void submit(const SubmitOrder& order) {
    const auto session = sessions_.find(order.request);
    if (session == sessions_.end()) return;  // cancelled meanwhile
    const auto sent = role().submit(order, now());
    if (!sent) on_broken(order.request, {order.attempt, false, sent.error()});
  }
  void cancel(RequestId request) {
    role().cancel(request);
    const auto session = sessions_.find(request);
    if (session == sessions_.end()) return;
    send(session->second, cancel_atom_v);
    sessions_.erase(session);
  }
  template <class Note>
  void tell(RequestId request, Note note, bool last) {
    const auto session = sessions_.find(request);
    if (session == sessions_.end()) return;
    send(session->second, std::move(note));
    if (last) sessions_.erase(session);
  }
  void on_tokens(RequestId request, TokensNote note) override {
    const bool last = note.finish.has_value();
    tell(request, std::move(note), last);
  }
  void on_logits(RequestId request, LogitsNote note) override {
    tell(request, std::move(note), false);
  }
  void on_prompt_logprobs(RequestId request, PromptLogprobsNote note) override {
    tell(request, std::move(note), false);
  }
  void on_broken(RequestId request, BrokenNote note) override {
    const bool last = !note.shard_lost;  // otherwise the session asks again, or cancels
    tell(request, std::move(note), last);
  }

  GatewaySettings settings_;
  std::uint32_t attempts_max_;
  std::map<RequestId, SessionActor> sessions_;
};

}  // namespace

GatewayActor spawn_gateway(caf::actor_system& system, const SpawnContext& context,
                           GatewaySettings settings, std::uint32_t attempts_max) {
  return system.spawn<Gateway>(context, settings, attempts_max);
}

}  // namespace troupe::actors
