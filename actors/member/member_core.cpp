// Announcing, beating, following, comparing the roster with the links.
#include "actors/member/member_core.hpp"

#include <algorithm>

#include "core/mix64.hpp"

namespace troupe::actors {
namespace {

using std::chrono::milliseconds;
using Severity = NodeEvent::Severity;

constexpr milliseconds kFirstBackOff{50};
constexpr milliseconds kPatience{1000};
constexpr milliseconds kSummonAfter{1500};  // an opener that knows meets us well before

milliseconds doubled(milliseconds back_off, milliseconds most) {
  return std::clamp(back_off * 2, std::min(kFirstBackOff, most), most);
}

std::string director_name(std::size_t index) { return "director=" + std::to_string(index); }

}  // namespace

MemberCore::MemberCore(MemberSettings settings, std::uint64_t seed, TimePoint now)
    : settings_(std::move(settings)),
      random_(seed),
      directors_(settings_.directors),
      needs_({settings_.who.peer, settings_.who.expert_ranks, settings_.own_router_only}),
      beat_due_(now),
      due_(now) {
  for (auto& director : directors_) director.due = now;
}

void MemberCore::say(Severity severity, std::string name, std::string detail) {
  detail = "member=" + name_of(settings_.who.peer) + " " + detail;
  actions_.push_back(NodeEvent{severity, std::move(name), std::move(detail)});
}

void MemberCore::wait(Director& director, TimePoint now) {
  director.back_off = doubled(director.back_off, settings_.back_off_max);
  director.due = now + director.back_off;
}

void MemberCore::connected(std::size_t index, TimePoint now) {
  auto& director = directors_.at(index);
  director.phase = Phase::connected;
  director.due = now;
}

void MemberCore::disconnected(std::size_t index, const std::string& why, TimePoint now) {
  auto& director = directors_.at(index);
  const bool was_welcome = director.phase == Phase::welcome;
  if (was_welcome) director.back_off = {};
  if (!director.apart_since) director.apart_since = now;
  // Services start in any order: a router that is a little later is no news.
  const bool news = was_welcome || now - *director.apart_since >= kPatience;
  if (news && !std::exchange(director.said_apart, true))
    say(Severity::warning, "director_unreachable", director_name(index) + " cause=" + why);
  director.phase = Phase::apart;
  wait(director, now);
}

void MemberCore::answered(std::size_t index, const AnnounceReply& reply, TimePoint now) {
  auto& director = directors_.at(index);
  if (director.phase != Phase::announcing) return;  // of an incarnation that is gone
  term_seen_ = std::max(term_seen_, reply.roster.term);
  if (reply.refusal != Refusal::none) {
    director.phase = Phase::connected;
    return refused(index, reply.refusal, reply.error, now);
  }
  director = {};
  director.phase = Phase::welcome;
  beat_due_ = now;
  say(Severity::info, "director_joined", director_name(index));
  on_roster(reply.roster);
}

void MemberCore::turned_away(std::size_t index, Refusal refusal, const Error& error,
                             TimePoint now) {
  directors_.at(index).phase = Phase::apart;
  refused(index, refusal, error, now);
}

void MemberCore::refused(std::size_t index, Refusal refusal, const Error& error, TimePoint now) {
  auto& director = directors_.at(index);
  wait(director, now);
  if (refusal == Refusal::evicted) return rejoin("the director had given up this incarnation", now);
  const bool last = !may_pass(refusal);
  if (std::exchange(director.said, refusal) != refusal)
    say(last ? Severity::error : Severity::warning, "member_refused",
        director_name(index) + " reason=" + std::string(to_string(refusal)) +
            " detail=" + error.detail);
  if (last) fatal_ = error;
  if (refusal != Refusal::rank_taken) return;
  if (!director.taken_since) director.taken_since = now;
  if (now - *director.taken_since >= 2 * settings_.lost_after)
    fatal_ = Error{Errc::overloaded, "rank taken: " + error.detail};
}

void MemberCore::on_roster(Roster roster) {
  term_seen_ = std::max(term_seen_, roster.term);
  if (roster.term == 0 || roster.term < roster_.term) return;
  if (roster.term == roster_.term && roster.version < roster_.version) return;
  if (roster.term != roster_.term) {
    say(Severity::info, "director_followed", "term=" + std::to_string(roster.term));
    dropped_at_.clear();
    for (auto& [peer, meeting] : meetings_) meeting.met_at = 0;
  }
  roster_ = std::move(roster);
}

void MemberCore::evicted(std::uint64_t incarnation, TimePoint now) {
  if (incarnation == settings_.who.incarnation) rejoin("a director counted it as lost", now);
}

void MemberCore::rejoin(const std::string& why, TimePoint now) {
  settings_.who.incarnation = mix64(random_++);
  say(Severity::warning, "rejoining", "cause=" + why);
  actions_.push_back(member::Rejoin{settings_.who.incarnation});
  roster_ = {};
  meetings_.clear();
  dropped_at_.clear();
  summon_due_.clear();
  for (auto& director : directors_) {
    if (director.phase < Phase::connected) continue;
    director.phase = Phase::connected;
    director.due = now;
  }
}

void MemberCore::met(PeerId peer, const Error& error, TimePoint now) {
  auto& meeting = meetings_[peer];
  meeting.open = false;
  needs_.met(peer, error.code == Errc::ok ? std::string() : error.detail);
  if (error.code == Errc::ok) {
    meeting.back_off = kFirstBackOff;  // it may be lost again at once
    meeting.due = now + meeting.back_off;
    return;
  }
  meeting.met_at = 0;
  if (error.code == Errc::io) meeting.tcp_for = meeting.incarnation;
  meeting.back_off = doubled(meeting.back_off, settings_.back_off_max);
  meeting.due = now + meeting.back_off;
  say(Severity::warning, "meeting_failed", "peer=" + name_of(peer) + " cause=" + error.detail);
}

void MemberCore::set_state(MemberState state, float load_progress) {
  if (state != settings_.who.state) beat_due_ = {};
  settings_.who.state = state;
  load_progress_ = load_progress;
}

bool MemberCore::welcome_at(std::size_t director) const {
  return directors_.at(director).phase == Phase::welcome;
}

std::optional<std::size_t> MemberCore::director() const {
  const std::size_t followed = roster_.term & 0xffff;
  if (roster_.term != 0 && followed < directors_.size() && welcome_at(followed)) return followed;
  for (std::size_t i = 0; i < directors_.size(); ++i)
    if (welcome_at(i)) return i;
  return std::nullopt;
}

std::vector<member::Action> MemberCore::tick(const MemberSight& sight, TimePoint now) {
  if (now - due_ >= settings_.lost_after)
    rejoin("its own timer was " +
               std::to_string(std::chrono::duration_cast<milliseconds>(now - due_).count()) +
               " ms late",
           now);
  needs_.follow(roster_, now);
  look_at_links(sight);
  if (!fatal_) {
    call_directors(now);
    beat(sight, now);
    compare(sight, now);
  }
  plan(sight, now);
  return std::exchange(actions_, {});
}

/// Whoever waits for the cluster to serve hears of its links at once.
void MemberCore::look_at_links(const MemberSight& sight) {
  const auto unlinked = needs_.unlinked(sight.joined);
  if ((std::exchange(unlinked_, unlinked) == 0) != (unlinked == 0)) beat_due_ = {};
}

std::optional<Lack> MemberCore::away() const {
  if (director()) return std::nullopt;
  if (roster_.term == 0)
    return Lack{Lack::Kind::admission, 0, "no director has let this process in yet", {}};
  const auto followed = static_cast<std::uint32_t>(roster_.term & 0xffff);
  Lack lack{Lack::Kind::admission, peer_id(proto::Role::router, followed), "cannot be reached",
            std::nullopt};
  if (followed < directors_.size()) lack.since = directors_[followed].apart_since;
  return lack;
}

void MemberCore::call_directors(TimePoint now) {
  for (std::size_t i = 0; i < directors_.size(); ++i) {
    auto& director = directors_[i];
    if (director.due > now) continue;
    if (director.phase == Phase::apart) {
      director.phase = Phase::connecting;
      actions_.push_back(member::Connect{i});
    } else if (director.phase == Phase::connected) {
      director.phase = Phase::announcing;
      auto words = settings_.who;
      words.term_seen = term_seen_;
      words.unlinked = unlinked_;
      actions_.push_back(member::Announce{i, std::move(words)});
    }
  }
}

void MemberCore::beat(const MemberSight& sight, TimePoint now) {
  if (beat_due_ > now) return;
  beat_due_ = now + (sight.load.oldest_work ? settings_.beat_busy : settings_.beat_idle);
  Beat beat;
  beat.peer = settings_.who.peer;
  beat.incarnation = settings_.who.incarnation;
  beat.state = settings_.who.state;
  beat.load_progress = load_progress_;
  beat.progress = sight.progress;
  if (sight.load.oldest_work)
    beat.oldest_work_us = static_cast<std::uint64_t>(std::max<std::int64_t>(
        1, std::chrono::duration_cast<std::chrono::microseconds>(now - *sight.load.oldest_work)
               .count()));
  beat.queued_rows = sight.load.queued_rows;
  beat.term_seen = term_seen_;
  beat.director_term = sight.director_term;
  beat.unlinked = unlinked_;
  for (std::size_t i = 0; i < directors_.size(); ++i)
    if (welcome_at(i)) actions_.push_back(member::SendBeat{i, beat});
}

bool MemberCore::opens(PeerId peer) const {
  switch (role_of(settings_.who.peer)) {
    case proto::Role::gateway: return role_of(peer) == proto::Role::attention;
    case proto::Role::attention:
      return role_of(peer) == proto::Role::router &&
             (!settings_.own_router_only || index_of(peer) == index_of(settings_.who.peer));
    case proto::Role::router: return role_of(peer) == proto::Role::expert;
    case proto::Role::expert: return false;
  }
  return false;
}

bool MemberCore::opened_by(PeerId peer) const {
  const auto own = settings_.who.peer;
  switch (role_of(own)) {
    case proto::Role::gateway: return false;
    case proto::Role::attention: return role_of(peer) == proto::Role::gateway;
    case proto::Role::router:
      return role_of(peer) == proto::Role::attention &&
             (!settings_.own_router_only || index_of(peer) == index_of(own));
    case proto::Role::expert: return role_of(peer) == proto::Role::router;
  }
  return false;
}

void MemberCore::miss(const RosterEntry& entry, bool joined, TimePoint now) {
  if (joined || entry.state != MemberState::active || entry.process == settings_.who.process) {
    summon_due_.erase(entry.peer);
    return;
  }
  const auto due = summon_due_.try_emplace(entry.peer, now + kSummonAfter).first;
  const auto relay = director();
  if (due->second > now || !relay) return;
  due->second = now + kSummonAfter;
  say(Severity::warning, "link_missing", "peer=" + name_of(entry.peer) + " asked to link again");
  actions_.push_back(member::Summon{entry.peer, *relay});
}

void MemberCore::compare(const MemberSight& sight, TimePoint now) {
  if (state() != MemberState::active && state() != MemberState::draining) return;
  for (const auto& entry : roster_.members) look_at(entry, sight, now);
}

void MemberCore::look_at(const RosterEntry& entry, const MemberSight& sight, TimePoint now) {
  const auto linked = sight.joined.find(entry.peer);
  const bool joined = linked != sight.joined.end();
  const bool same = joined && linked->second == entry.incarnation;
  if (entry.state == MemberState::lost) {
    if (same && std::exchange(dropped_at_[entry.peer], roster_.version) != roster_.version)
      actions_.push_back(member::Drop{entry.peer, "the director counts it as lost"});
    return;
  }
  if (opened_by(entry.peer)) miss(entry, same, now);
  if (entry.state == MemberState::loading || !opens(entry.peer) || same) return;
  auto& meeting = meetings_[entry.peer];
  // It may have rejoined between this roster and our meeting: the next one will say so.
  if (joined && meeting.met_at == roster_.version) return;
  const auto relay = director();
  if (meeting.open || meeting.due > now || !relay) return;
  meeting.open = true;
  meeting.met_at = roster_.version;
  meeting.incarnation = entry.incarnation;
  actions_.push_back(member::Meet{entry.peer, *relay, entry.process == settings_.who.process,
                                  meeting.tcp_for == entry.incarnation});
}

void MemberCore::plan(const MemberSight& sight, TimePoint now) {
  due_ = now + (sight.load.oldest_work ? settings_.beat_busy : settings_.beat_idle);
  const auto sooner = [&](TimePoint time) { due_ = std::min(due_, std::max(time, now)); };
  if (fatal_) return;
  for (const auto& director : directors_) {
    if (director.phase == Phase::apart || director.phase == Phase::connected) sooner(director.due);
    if (director.phase == Phase::welcome) sooner(beat_due_);
  }
  for (const auto& [peer, summon_due] : summon_due_) sooner(summon_due);
  for (const auto& [peer, meeting] : meetings_)
    if (!meeting.open && meeting.due > now && !sight.joined.contains(peer)) sooner(meeting.due);
}

}  // namespace troupe::actors
