// The expert, router and attention actors: messages to calls of their roles.
#include "actors/spawn_roles.hpp"

#include "actors/role_actor.hpp"

namespace troupe::actors {
namespace {

class ExpertShard : public RoleActor<ExpertActor, ExpertRole> {
 public:
  ExpertShard(caf::actor_config& config, SpawnContext context, ExpertSettings settings,
              std::shared_ptr<const model::ExpertModel> model, PlacementActor placements)
      : RoleActor(config, std::move(context), proto::Role::expert),
        settings_(settings),
        model_(std::move(model)),
        placements_(std::move(placements)) {}
  const char* name() const override { return "troupe.expert"; }

 protected:
  std::unique_ptr<ExpertRole> make_role() override {
    return std::make_unique<ExpertRole>(context().role, settings_, model_);
  }
  behavior_type make_behavior() override {
    send(placements_, follow_atom_v, ExpertActor{this});
    return with_links([this](status_atom) { return role().status(); });
  }
  void adopt(const PlacementPtr& next) override {
    role().note_placement(next->placement.term, next->placement.epoch);
  }

 private:
  ExpertSettings settings_;
  std::shared_ptr<const model::ExpertModel> model_;
  PlacementActor placements_;
};

class Router : public RoleActor<RouterActor, RouterRole> {
 public:
  Router(caf::actor_config& config, SpawnContext context, RouterSettings settings,
         std::shared_ptr<const model::RouterModel> model, PlacementActor placements)
      : RoleActor(config, std::move(context), proto::Role::router),
        settings_(settings),
        model_(std::move(model)),
        placements_(std::move(placements)) {}
  const char* name() const override { return "troupe.router"; }

 protected:
  std::unique_ptr<RouterRole> make_role() override {
    return std::make_unique<RouterRole>(context().role, settings_, model_);
  }
  bool poll() override {
    const bool busy = RoleActor::poll();
    if (role().take_placement_wish()) send(placements_, newest_atom_v, RouterActor{this});
    return busy;
  }
  behavior_type make_behavior() override {
    send(placements_, follow_atom_v, RouterActor{this});
    return with_links([this](status_atom) { return role().status(); });
  }
  void adopt(const PlacementPtr& next) override { role().adopt(next); }

 private:
  RouterSettings settings_;
  std::shared_ptr<const model::RouterModel> model_;
  PlacementActor placements_;
};

class AttentionShard : public RoleActor<AttentionActor, AttentionRole> {
 public:
  AttentionShard(caf::actor_config& config, SpawnContext context, AttentionSettings settings,
                 std::shared_ptr<const model::AttentionModel> model)
      : RoleActor(config, std::move(context), proto::Role::attention),
        settings_(settings),
        model_(std::move(model)) {}
  const char* name() const override { return "troupe.attention"; }

 protected:
  std::unique_ptr<AttentionRole> make_role() override {
    return std::make_unique<AttentionRole>(context().role, settings_, model_);
  }
  behavior_type make_behavior() override {
    return with_links([this](status_atom) { return role().status(); });
  }

 private:
  AttentionSettings settings_;
  std::shared_ptr<const model::AttentionModel> model_;
};

}  // namespace

ExpertActor spawn_expert(caf::actor_system& system, const SpawnContext& context,
                         ExpertSettings settings, std::shared_ptr<const model::ExpertModel> model,
                         const PlacementActor& placements) {
  return system.spawn<ExpertShard>(context, settings, std::move(model), placements);
}

RouterActor spawn_router(caf::actor_system& system, const SpawnContext& context,
                         RouterSettings settings, std::shared_ptr<const model::RouterModel> model,
                         const PlacementActor& placements) {
  return system.spawn<Router>(context, settings, std::move(model), placements);
}

AttentionActor spawn_attention(caf::actor_system& system, const SpawnContext& context,
                               AttentionSettings settings,
                               std::shared_ptr<const model::AttentionModel> model) {
  return system.spawn<AttentionShard>(context, settings, std::move(model));
}

}  // namespace troupe::actors
