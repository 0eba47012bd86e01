// States of members from announcements, beats, closed connections and time.
#include "actors/director/member_table.hpp"

#include <algorithm>

namespace troupe::actors {

const Member* MemberTable::find(PeerId peer) const {
  const auto found = members_.find(peer);
  return found == members_.end() ? nullptr : &found->second;
}

bool MemberTable::make_room() {
  if (members_.size() < members_max_) return true;
  auto longest = members_.end();
  for (auto it = members_.begin(); it != members_.end(); ++it)
    if (!live(it->second) && (longest == members_.end() || it->second.lost < longest->second.lost))
      longest = it;
  if (longest == members_.end()) return false;
  members_.erase(longest);
  return true;
}

void MemberTable::admit(const Announcement& announcement, TimePoint now) {
  Member member;
  member.announced = announcement;
  member.beat.peer = announcement.peer;
  member.beat.incarnation = announcement.incarnation;
  member.beat.state = announcement.state;
  member.beat.term_seen = announcement.term_seen;
  member.beat.unlinked = announcement.unlinked;
  member.heard = member.progressed = now;
  member.state = judge(member, now);
  members_[announcement.peer] = std::move(member);
}

bool MemberTable::hear(const Beat& beat, TimePoint now) {
  const auto found = members_.find(beat.peer);
  if (found == members_.end()) return false;
  Member& member = found->second;
  if (!member.has_beaten || beat.progress != member.beat.progress || !live(member))
    member.progressed = now;
  const bool relinked = beat.unlinked != member.beat.unlinked;
  member.beat = beat;
  member.has_beaten = true;
  member.closed = false;
  member.heard = now;
  const auto before = member.state;
  member.state = MemberState::loading;  // whatever it was, it is not LOST now
  member.state = judge(member, now);
  return member.state != before || relinked;
}

bool MemberTable::close(PeerId peer, TimePoint now) {
  const auto found = members_.find(peer);
  if (found == members_.end() || !live(found->second)) return false;
  found->second.state = MemberState::lost;
  found->second.closed = true;
  found->second.lost = now;
  return true;
}

bool MemberTable::refresh(TimePoint now, bool forget) {
  bool changed = false;
  for (auto it = members_.begin(); it != members_.end();) {
    Member& member = it->second;
    if (forget && !live(member) && now - member.lost > times_.forget_after) {
      it = members_.erase(it);
      changed = true;
      continue;
    }
    const auto state = judge(member, now);
    if (state != member.state) {
      if (state == MemberState::lost) member.lost = now;
      member.state = state;
      changed = true;
    }
    ++it;
  }
  return changed;
}

void MemberTable::excuse(Clock::duration stood_still) {
  for (auto& [peer, member] : members_) {
    member.heard += stood_still;
    member.progressed += stood_still;
    member.lost += stood_still;
  }
}

bool MemberTable::may_resume(const Member& member, TimePoint now) const {
  if (live(member)) return true;
  return member.closed &&
         (times_.lost_after.count() == 0 || now - member.lost <= times_.lost_after);
}

MemberState MemberTable::judge(const Member& member, TimePoint now) const {
  if (!live(member)) return MemberState::lost;
  const auto said = member.beat.state;
  if (times_.lost_after.count() == 0) return said;
  const Clock::duration silent = now - member.heard;
  if (silent > times_.lost_after) return MemberState::lost;
  if (said != MemberState::active) return said;
  const Clock::duration half = times_.lost_after / 2;
  const bool old_work = member.beat.oldest_work_us >=
                        static_cast<std::uint64_t>(
                            std::chrono::duration_cast<std::chrono::microseconds>(half).count());
  const bool frozen = old_work && now - member.progressed > half;
  return silent > half || frozen ? MemberState::suspect : MemberState::active;
}

}  // namespace troupe::actors
