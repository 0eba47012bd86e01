// What a director knows and decides: members, term, placement, whether the cluster serves. No CAF.
#pragma once
#include <cstdint>
#include <vector>

#include "actors/director/admission.hpp"
#include "actors/director/election.hpp"
#include "actors/director/member_table.hpp"
#include "actors/router/router_role.hpp"
#include "core/expected.hpp"

namespace troupe::actors {

enum class BeatVerdict : std::uint8_t {
  heard,
  unknown,  // never announced, or forgotten
  evicted,  // was LOST by silence, or another life has its place: tell it
};

/// One director's whole state; rebuilt from announcements after a restart.
///
/// Passive, it keeps its table and refuses as always, but evicts and publishes nothing: its view
/// may be that of a broken connection.
/// *Threading*: one owner. Time is passed in and never goes backwards.
class DirectorCore {
 public:
  DirectorCore(const model::ModelConfig& config, DirectorSettings settings, TimePoint now);

  /// Lets a member in (again) or says why not. The reply holds the roster.
  AnnounceReply announce(const Announcement& announcement, TimePoint now);
  BeatVerdict beat(const Beat& beat, TimePoint now);
  /// Of that life of it; a newer one is not touched.
  void connection_lost(PeerId peer, std::uint64_t incarnation, TimePoint now);
  /// To be called every tenth of lost_after or so. A call that comes late by half of lost_after
  /// says that this process stood still: nobody is taken to have been silent meanwhile.
  void tick(TimePoint now);

  bool active() const { return election_.term() != 0; }
  std::uint64_t term() const { return election_.term(); }
  /// What members are told; its version grows with every change. Passive: term 0, no members.
  const Roster& roster() const { return roster_; }
  /// The placement in force in this term; null before its first epoch.
  const PlacementPtr& placement() const { return current_; }
  ClusterReport report(TimePoint now) const;
  /// Whether it is of a member that is there, with the experts that it has announced.
  bool fits(const ExpertLoad& load) const;
  /// The life that has the place of `peer` and is not LOST; 0: there is none.
  std::uint64_t live_incarnation(PeerId peer) const;
  bool knows(PeerId peer, std::uint64_t incarnation) const;
  const DirectorSettings& settings() const { return settings_; }

  /// The next epoch of this term. Its term and epoch numbers are set here.
  /// *Errors*: `invalid_argument` when its shape is not the model's, an expert has no replica, or
  /// a replica does not hold it; `unavailable` before the first placement and while passive.
  Expected<PlacementPtr> publish(model::Placement next);

 private:
  AdmissionFault check_place(const Announcement& announcement, TimePoint now);
  void update(bool members_changed, TimePoint now);
  void elect(TimePoint now);
  void publish_first();
  void rebuild_roster();
  bool staffed(bool suspects_count) const;
  bool linked() const;
  Expected<void> check(const model::Placement& placement) const;
  void put_in_force(model::Placement placement);

  model::ModelConfig config_;
  DirectorSettings settings_;
  Election election_;
  MemberTable members_;
  Roster roster_;
  PlacementPtr current_;
  TimePoint ticked_;
};

}  // namespace troupe::actors
