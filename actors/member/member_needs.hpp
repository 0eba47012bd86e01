// What a member needs of its cluster and has not: for probes, refusals, and the director.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "actors/membership.hpp"
#include "actors/role_pulse.hpp"

namespace troupe::actors {

/// One thing that is missing.
struct Lack {
  enum class Kind : std::uint8_t {
    admission,  // no director has let it in
    placement,  // none has been published yet: the cluster was never complete
    service,    // somebody the cluster cannot serve without
    link,       // a connection of its own role
  } kind = Kind::admission;
  PeerId peer = 0;  // 0: nobody in particular
  std::string why;  // "is LOST", "has not joined"
  std::optional<TimePoint> since;
  bool leaves = false;  // it drains: it will not be back soon
};
using Lacks = std::vector<Lack>;

/// "link to expert 2", "expert 2", "placement", "cluster": what a probe calls it.
std::string name_of(const Lack& lack);
/// "it is LOST since 3.1 s": what a probe says of it.
std::string reason_of(const Lack& lack, TimePoint now);
/// "no link to expert 2 (it is LOST since 3.1 s)", "expert 2 is LOST since 3.1 s", in one sentence.
std::string text_of(const Lacks& lacks, TimePoint now);

/// Follows rosters, placements and meetings. *Threading*: one owner.
class MemberNeeds {
 public:
  struct Place {
    PeerId self = 0;
    std::uint32_t expert_ranks = 0;  // as configured; a gateway's says nothing
    bool own_router_only = false;    // attention with a colocated router
  };
  explicit MemberNeeds(Place place) : place_(place) {}

  /// The newest roster; the same one again changes nothing.
  void follow(const Roster& roster, TimePoint now);
  /// A placement over so many expert shards is in force.
  void place(std::uint32_t expert_shards) { expert_shards_ = expert_shards; }
  /// Why no link to that peer came to be, empty when one did.
  void met(PeerId peer, const std::string& cause) { causes_[peer] = cause; }

  /// Links that its role cannot do without: a router's to every rank, an attention shard's to one
  /// router, an expert's to one router, a gateway's to one attention shard.
  Lacks links(const RolePulse::Joined& joined) const;
  /// One of those, for the director; 0: there are all.
  PeerId unlinked(const RolePulse::Joined& joined) const;
  /// Everything that is missing; `away` says so of the director. A gateway that has been let in
  /// once goes on without one.
  Lacks all(const RolePulse::Joined& joined, const std::optional<Lack>& away, TimePoint now) const;
  /// When the cluster ceased to serve; nothing while it does, and before it ever has.
  const std::optional<TimePoint>& unserved_since() const { return unserved_since_; }

 private:
  struct Sight {
    MemberState state = MemberState::loading;
    PeerId unlinked = 0;
    bool there = false;  // in the newest roster
    TimePoint since;
  };
  Lack link(PeerId peer) const;
  void any_link(proto::Role role, const RolePulse::Joined& joined, Lacks& lacks) const;
  Lacks services(TimePoint now) const;
  void any_service(proto::Role role, Lacks& lacks) const;
  std::optional<Lack> service(PeerId peer) const;
  std::vector<PeerId> known(proto::Role role) const;

  Place place_;
  std::uint64_t term_ = 0;
  std::uint64_t version_ = 0;
  bool serving_ = false;
  std::optional<TimePoint> unserved_since_;
  std::optional<TimePoint> led_since_;  // by a director that is not the first
  std::optional<std::uint32_t> expert_shards_;
  std::map<PeerId, Sight> sights_;
  std::map<PeerId, std::string> causes_;
};

}  // namespace troupe::actors
