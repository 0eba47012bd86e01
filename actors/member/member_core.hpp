// What one member of a cluster does to stay in it: whom it announces itself to, when it beats,
// which director it follows, which peers it has to meet. No CAF here, and no clock of its own.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "actors/member/member_needs.hpp"
#include "actors/membership.hpp"
#include "actors/node_event.hpp"
#include "actors/role_pulse.hpp"

namespace troupe::actors {

struct MemberSettings {
  Announcement who;              // state, incarnation and term are filled in by the core
  std::size_t directors = 0;     // configured control ports; the index of each is its router's
  bool own_router_only = false;  // attention with a colocated router: it links to no other
  std::chrono::milliseconds lost_after{3000};
  std::chrono::milliseconds beat_busy{100};
  std::chrono::milliseconds beat_idle{500};
  std::chrono::milliseconds back_off_max{1000};
};

/// What the core sees of the role and the process it speaks for.
struct MemberSight {
  RoleLoad load;
  std::uint64_t progress = 0;
  std::uint64_t director_term = 0;  // routers: of their own director while it is active
  RolePulse::Joined joined;
};

/// What the core wants done.
namespace member {
struct Connect {
  std::size_t director = 0;
};
struct Announce {
  std::size_t director = 0;
  Announcement words;
};
struct SendBeat {
  std::size_t director = 0;
  Beat beat;
};
struct Meet {
  PeerId peer = 0;
  std::size_t director = 0;  // to relay the addresses
  bool in_process = false;   // no addresses are needed
  bool over_tcp = false;     // the memory of this life of it could not be opened
};
/// It opens links to us, and one of ours is missing: it may not know that we have lost it.
struct Summon {
  PeerId peer = 0;
  std::size_t director = 0;
};
struct Drop {
  PeerId peer = 0;
  std::string why;
};
struct Rejoin {
  std::uint64_t incarnation = 0;
};
using Action = std::variant<Connect, Announce, SendBeat, Meet, Summon, Drop, Rejoin, NodeEvent>;
}  // namespace member

/// What it does when others disappear:
///  - a director: the connection is made again for ever; links and work go on.
///  - all directors: the last roster and placement stay in force.
///  - a peer: its role loses the link; a roster that shows it back makes the opener meet it again.
///    Where only the accepting side has lost it, that side asks the opener to.
///  - itself (LOST by silence, or its own timer late by lost_after): all links are dropped, a new
///    incarnation is drawn and announced.
/// *Threading*: one owner.
class MemberCore {
 public:
  /// `seed` draws the incarnations after the first, which is that of `settings.who`.
  MemberCore(MemberSettings settings, std::uint64_t seed, TimePoint now);

  void connected(std::size_t director, TimePoint now);
  /// Could not be reached, was lost, or did not answer an announcement.
  void disconnected(std::size_t director, const std::string& why, TimePoint now);
  /// Its router refused the connection: the reasons of an announcement's refusal, given earlier.
  void turned_away(std::size_t director, Refusal refusal, const Error& error, TimePoint now);
  void answered(std::size_t director, const AnnounceReply& reply, TimePoint now);
  /// Those of lower terms are ignored.
  void on_roster(Roster roster);
  /// A director had counted that incarnation as LOST.
  void evicted(std::uint64_t incarnation, TimePoint now);
  /// Errc::io: its shared memory could not be opened. The next meeting is over tcp.
  void met(PeerId peer, const Error& error, TimePoint now);
  /// A placement over so many expert shards is in force.
  void place(std::uint32_t expert_shards) { needs_.place(expert_shards); }
  void set_state(MemberState state, float load_progress);
  /// The process cannot go on.
  void give_up(Error why) { fatal_ = std::move(why); }

  /// Everything that is due. Call after every event and at next_due().
  std::vector<member::Action> tick(const MemberSight& sight, TimePoint now);
  TimePoint next_due() const { return due_; }

  std::uint64_t incarnation() const { return settings_.who.incarnation; }
  MemberState state() const { return settings_.who.state; }
  float load_progress() const { return load_progress_; }
  /// Of the director that is followed; 0: none yet.
  std::uint64_t term() const { return roster_.term; }
  bool serving() const { return roster_.serving; }
  const Roster& roster() const { return roster_; }
  /// What it needs and has not; of the roster of the last tick.
  Lacks lacks(const MemberSight& sight, TimePoint now) const {
    return needs_.all(sight.joined, away(), now);
  }
  const std::optional<TimePoint>& unserved_since() const { return needs_.unserved_since(); }
  /// The director to ask: the followed one, else any that let us in.
  std::optional<std::size_t> director() const;
  bool welcome_at(std::size_t director) const;
  /// Set when no director will ever let it in; `overloaded` when its rank stays taken, which may
  /// change.
  const std::optional<Error>& fatal() const { return fatal_; }

 private:
  enum class Phase : std::uint8_t { apart, connecting, connected, announcing, welcome };
  struct Director {
    Phase phase = Phase::apart;
    TimePoint due;  // next attempt to connect or to announce
    std::chrono::milliseconds back_off{0};
    std::optional<TimePoint> taken_since;  // our rank was held by another
    Refusal said = Refusal::none;          // the refusal that was told last
    std::optional<TimePoint> apart_since;
    bool said_apart = false;
  };
  struct Meeting {
    bool open = false;
    TimePoint due;
    std::chrono::milliseconds back_off{0};
    std::uint64_t met_at = 0;  // version of the roster it was met by
    std::uint64_t incarnation = 0;
    std::uint64_t tcp_for = 0;  // the incarnation that is reached over tcp only
  };

  void refused(std::size_t director, Refusal refusal, const Error& error, TimePoint now);
  void wait(Director& director, TimePoint now);
  void rejoin(const std::string& why, TimePoint now);
  void say(NodeEvent::Severity severity, std::string name, std::string detail);
  void call_directors(TimePoint now);
  void beat(const MemberSight& sight, TimePoint now);
  void compare(const MemberSight& sight, TimePoint now);
  void look_at(const RosterEntry& entry, const MemberSight& sight, TimePoint now);
  bool opens(PeerId peer) const;
  bool opened_by(PeerId peer) const;
  void miss(const RosterEntry& entry, bool joined, TimePoint now);
  void plan(const MemberSight& sight, TimePoint now);
  void look_at_links(const MemberSight& sight);
  std::optional<Lack> away() const;

  MemberSettings settings_;
  std::uint64_t random_;
  std::vector<Director> directors_;
  Roster roster_;
  MemberNeeds needs_;
  PeerId unlinked_ = 0;  // as beats say
  std::uint64_t term_seen_ = 0;
  std::map<PeerId, Meeting> meetings_;
  std::map<PeerId, std::uint64_t> dropped_at_;  // version of the roster that said so
  std::map<PeerId, TimePoint> summon_due_;      // openers whose link is missing
  float load_progress_ = 0;
  TimePoint beat_due_;
  TimePoint due_;
  std::optional<Error> fatal_;
  std::vector<member::Action> actions_;
};

}  // namespace troupe::actors
