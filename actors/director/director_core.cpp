// Announcements, beats and time to roster, term and placement.
#include "actors/director/director_core.hpp"

#include <algorithm>
#include <string>

#include "core/check.hpp"

namespace troupe::actors {

DirectorCore::DirectorCore(const model::ModelConfig& config, DirectorSettings settings,
                           TimePoint now)
    : config_(config),
      settings_(settings),
      election_({settings.router_index, settings.routers_count, settings.lost_after}, now),
      members_({settings.lost_after, settings.forget_after},
               std::min(settings.members_max, kMembersMax)),
      ticked_(now) {
  TROUPE_CHECK(settings.expert_ranks >= 1 && settings.expert_ranks <= kExpertRanksMax,
               "expert_ranks is checked where it is configured");
  update(false, now);
}

AdmissionFault DirectorCore::check_place(const Announcement& announcement, TimePoint now) {
  const auto who = name_of(announcement.peer);
  const Member* there = members_.find(announcement.peer);
  if (there == nullptr) {
    if (members_.make_room()) return {};
    return {Refusal::full,
            {Errc::overloaded, who + ": this cluster has all of its " +
                                   std::to_string(members_.all().size()) +
                                   " members; try again when one has left"}};
  }
  if (there->announced.incarnation == announcement.incarnation) {
    if (!active() || members_.may_resume(*there, now)) return {};
    return {Refusal::evicted,
            {Errc::stale, who + " was silent for too long and its work was given up; announce a "
                                "new incarnation"}};
  }
  // A new life of the same process: the old one is over, whatever we know of it.
  if (!MemberTable::live(*there) || there->announced.process == announcement.process) return {};
  return {Refusal::rank_taken,
          {Errc::unavailable,
           who + " of " + announcement.host + ", process " + std::to_string(announcement.pid) +
               ": that place is held by " + there->announced.host + ", process " +
               std::to_string(there->announced.pid) +
               ", which is alive; stop that one, or give this one another index"}};
}

AnnounceReply DirectorCore::announce(const Announcement& announcement, TimePoint now) {
  auto fault = check_admission(settings_, config_.routed_experts, announcement);
  if (fault.refusal == Refusal::none) fault = check_place(announcement, now);
  if (fault.refusal != Refusal::none) return {fault.refusal, std::move(fault.error), {}};
  const Member* there = members_.find(announcement.peer);
  const bool new_process = there == nullptr || there->announced.process != announcement.process;
  if (new_process)
    election_.saw_before_our_time(announcement.term_seen, now);
  else
    election_.saw(announcement.term_seen, now);
  members_.admit(announcement, now);
  update(true, now);
  return {Refusal::none, {Errc::ok, {}}, roster_};
}

BeatVerdict DirectorCore::beat(const Beat& beat, TimePoint now) {
  const Member* there = members_.find(beat.peer);
  if (there == nullptr) return BeatVerdict::unknown;
  if (there->announced.incarnation != beat.incarnation)
    return active() ? BeatVerdict::evicted : BeatVerdict::unknown;
  if (active() && !members_.may_resume(*there, now)) return BeatVerdict::evicted;
  election_.saw(beat.term_seen, now);
  const bool news = beat.director_term != there->beat.director_term || !there->has_beaten;
  const bool changed = members_.hear(beat, now);
  if (changed || news || election_.term() != roster_.term) update(changed, now);
  return BeatVerdict::heard;
}

void DirectorCore::connection_lost(PeerId peer, std::uint64_t incarnation, TimePoint now) {
  if (!knows(peer, incarnation)) return;
  if (members_.close(peer, now)) update(true, now);
}

void DirectorCore::tick(TimePoint now) {
  const auto gap = now - ticked_;
  ticked_ = now;
  if (settings_.lost_after.count() != 0 && gap > settings_.lost_after / 2) members_.excuse(gap);
  // While passive nobody is forgotten: a member that was away has to be known when it speaks again.
  update(members_.refresh(now, active()), now);
}

std::uint64_t DirectorCore::live_incarnation(PeerId peer) const {
  const Member* there = members_.find(peer);
  return there != nullptr && MemberTable::live(*there) ? there->announced.incarnation : 0;
}

bool DirectorCore::knows(PeerId peer, std::uint64_t incarnation) const {
  const Member* there = members_.find(peer);
  return there != nullptr && there->announced.incarnation == incarnation;
}

/// After every change: who is active, what is in force, what members are told.
void DirectorCore::update(bool members_changed, TimePoint now) {
  const bool was_active = roster_.term != 0;
  elect(now);
  if (!members_changed && election_.term() == roster_.term) return;
  if (!active()) {
    current_.reset();
    // Once, so that its own process and others hear that it is passive.
    if (was_active) roster_ = {0, roster_.version + 1, false, {}};
    return;
  }
  if (current_ && current_->placement.term != term()) {
    // Ours from an earlier term goes on: what experts hold has not changed.
    auto placement = current_->placement;
    placement.epoch = 0;
    put_in_force(std::move(placement));
  }
  if (!current_) publish_first();
  rebuild_roster();
}

void DirectorCore::elect(TimePoint now) {
  std::vector<RouterView> others;
  const auto own = peer_id(proto::Role::router, settings_.router_index);
  for (auto it = members_.all().lower_bound(peer_id(proto::Role::router, 0));
       it != members_.all().end() && role_of(it->first) == proto::Role::router; ++it)
    if (it->first != own)
      others.push_back({index_of(it->first), MemberTable::live(it->second), it->second.has_beaten,
                        it->second.beat.director_term});
  election_.decide(others, now);
}

void DirectorCore::rebuild_roster() {
  Roster next{term(), roster_.version + 1, current_ != nullptr && staffed(true) && linked(), {}};
  for (const auto& [peer, member] : members_.all())
    next.members.push_back({peer, member.announced.incarnation, member.announced.process,
                            member.state, member.beat.unlinked});
  roster_ = std::move(next);
}

/// All ranks, one router and one attention shard are there.
bool DirectorCore::staffed(bool suspects_count) const {
  std::uint32_t ranks = 0;
  bool router = false;
  bool attention = false;
  for (const auto& [peer, member] : members_.all()) {
    const bool works = member.state == MemberState::active ||
                       (suspects_count && member.state == MemberState::suspect);
    if (!works) continue;
    ranks += role_of(peer) == proto::Role::expert ? 1 : 0;
    router |= role_of(peer) == proto::Role::router;
    attention |= role_of(peer) == proto::Role::attention;
  }
  return ranks == settings_.expert_ranks && router && attention;
}

/// Some router reaches all expert ranks, some attention shard a router.
bool DirectorCore::linked() const {
  const auto any = [this](proto::Role role) {
    return std::any_of(members_.all().begin(), members_.all().end(), [role](const auto& entry) {
      const Member& member = entry.second;
      const bool works =
          member.state == MemberState::active || member.state == MemberState::suspect;
      return role_of(entry.first) == role && works && member.beat.unlinked == 0;
    });
  };
  return any(proto::Role::router) && any(proto::Role::attention);
}

void DirectorCore::publish_first() {
  if (!staffed(false)) return;
  auto placement =
      model::static_placement(config_.num_layers, config_.routed_experts, settings_.expert_ranks);
  placement.epoch = 0;
  // Announcements were held against the static ranges: nothing can be missing.
  const auto fine = check(placement);
  TROUPE_CHECK(fine.has_value(), fine ? "" : fine.error().detail);
  put_in_force(std::move(placement));
}

void DirectorCore::put_in_force(model::Placement placement) {
  placement.term = term();
  ++placement.epoch;
  bool quantised = true;
  for (const auto& [peer, member] : members_.all())
    if (role_of(peer) == proto::Role::expert) quantised &= member.announced.wants_quantised_rows;
  current_ =
      std::make_shared<PublishedPlacement>(PublishedPlacement{std::move(placement), quantised});
}

Expected<PlacementPtr> DirectorCore::publish(model::Placement next) {
  if (!active())
    return unexpected(Errc::unavailable, "this director is passive; ask the active one");
  if (!current_)
    return unexpected(Errc::unavailable, "not all expert shards have announced themselves yet");
  if (auto fine = check(next); !fine) return unexpected(fine.error());
  next.epoch = current_->placement.epoch;
  put_in_force(std::move(next));
  return current_;
}

Expected<void> DirectorCore::check(const model::Placement& placement) const {
  const std::int64_t experts = config_.routed_experts;
  if (placement.experts != experts ||
      placement.replicas.size() != static_cast<std::size_t>(config_.num_layers * experts))
    return unexpected(Errc::invalid_argument, "the placement is not one of this model's shape");
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    if (!config_.is_moe(layer)) continue;
    for (std::int64_t expert = 0; expert < experts; ++expert) {
      const auto replicas = placement.of(layer, expert);
      const auto holds = [&](model::ShardIndex shard) {
        if (shard < 0) return false;
        const Member* member =
            members_.find(peer_id(proto::Role::expert, static_cast<std::uint32_t>(shard)));
        return member != nullptr && member->announced.experts.first <= expert &&
               expert < member->announced.experts.last;
      };
      if (replicas.empty() || !std::all_of(replicas.begin(), replicas.end(), holds))
        return unexpected(Errc::invalid_argument,
                          "layer " + std::to_string(layer) + ", expert " + std::to_string(expert) +
                              ": no replica, or one on a shard that does not hold it");
    }
  }
  return {};
}

bool DirectorCore::fits(const ExpertLoad& load) const {
  const Member* member = members_.find(load.peer);
  if (member == nullptr) return false;
  const auto& range = member->announced.experts;
  return load.experts.first == range.first && load.experts.last == range.last &&
         load.is_of(config_.num_layers);
}

ClusterReport DirectorCore::report(TimePoint now) const {
  ClusterReport report;
  report.term = term();
  report.epoch = current_ ? current_->placement.epoch : 0;
  report.serving = roster_.serving;
  report.numerics_id = settings_.numerics_id;
  report.expert_ranks = settings_.expert_ranks;
  for (const auto& [peer, member] : members_.all()) {
    const auto& said = member.announced;
    report.members.push_back(
        {{peer, said.incarnation, said.process, member.state, member.beat.unlinked},
         member.beat,
         std::chrono::duration_cast<std::chrono::milliseconds>(now - member.heard),
         said.experts,
         said.host,
         said.pid,
         said.version,
         said.ops_address});
  }
  return report;
}

}  // namespace troupe::actors
