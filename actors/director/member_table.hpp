// The members a director has let in, and what it takes them to be: states from signs of life.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "actors/membership.hpp"
#include "actors/request.hpp"

namespace troupe::actors {

struct Member {
  Announcement announced;
  Beat beat;                                 // the newest; as announced before the first
  MemberState state = MemberState::loading;  // what the roster says
  bool has_beaten = false;
  bool closed = false;   // LOST: because its connection was closed, not by silence
  TimePoint heard;       // newest sign of life
  TimePoint progressed;  // since when `beat.progress` has stood still
  TimePoint lost;        // LOST: since when
};

struct MemberTimes {
  std::chrono::milliseconds lost_after{3000};  // 0: silence is not watched
  std::chrono::milliseconds forget_after{60000};
};

/// *Threading*: one owner. States change in `hear`, `close` and `refresh` only; each says whether
/// one did, and `hear` whether the member's links have come or gone.
class MemberTable {
 public:
  MemberTable(MemberTimes times, std::size_t members_max)
      : times_(times), members_max_(members_max) {}

  const Member* find(PeerId peer) const;
  const std::map<PeerId, Member>& all() const { return members_; }
  /// Whether one more fits; members LOST for longest are forgotten for it.
  bool make_room();

  /// Lets a member in, in the place of an older life of it.
  void admit(const Announcement& announcement, TimePoint now);
  /// A sign of life of a member that is there; LOST ones are alive again.
  bool hear(const Beat& beat, TimePoint now);
  /// Its connection is gone.
  bool close(PeerId peer, TimePoint now);
  /// Silence makes SUSPECT and LOST; `forget` drops those LOST for forget_after.
  bool refresh(TimePoint now, bool forget);
  /// The owner itself stood still: nobody was silent meanwhile.
  void excuse(Clock::duration stood_still);

  /// LOST, but so recently and only by a closed connection, that this life may go on.
  bool may_resume(const Member& member, TimePoint now) const;
  static bool live(const Member& member) { return member.state != MemberState::lost; }

 private:
  MemberState judge(const Member& member, TimePoint now) const;

  MemberTimes times_;
  std::size_t members_max_;
  std::map<PeerId, Member> members_;
};

}  // namespace troupe::actors
