// Rosters and links to what is missing, and its text.
#include "actors/member/member_needs.hpp"

#include <algorithm>
#include <cstdio>

namespace troupe::actors {
namespace {

// A director that has taken over knows everybody again within a second or two.
constexpr std::chrono::seconds kNewLead{10};

bool works(MemberState state) {
  return state == MemberState::active || state == MemberState::suspect;
}

std::string since_text(const Lack& lack, TimePoint now) {
  if (!lack.since) return {};
  char text[48];
  const double seconds = std::chrono::duration<double>(now - *lack.since).count();
  std::snprintf(text, sizeof text, " since %.1f s", std::max(seconds, 0.0));
  return text;
}

}  // namespace

std::string name_of(const Lack& lack) {
  switch (lack.kind) {
    case Lack::Kind::admission: return "cluster";
    case Lack::Kind::placement: return "placement";
    case Lack::Kind::service: return name_of(lack.peer);
    case Lack::Kind::link: break;
  }
  return lack.peer == 0 ? "link" : "link to " + name_of(lack.peer);
}

std::string reason_of(const Lack& lack, TimePoint now) {
  const bool about_peer = lack.peer != 0 && lack.kind == Lack::Kind::link;
  const bool names_it = lack.peer != 0 && lack.kind == Lack::Kind::admission;
  return (about_peer ? "it "
          : names_it ? name_of(lack.peer) + " "
                     : "") +
         lack.why + since_text(lack, now);
}

std::string text_of(const Lacks& lacks, TimePoint now) {
  std::string text;
  for (const auto& lack : lacks) {
    if (!text.empty()) text += "; ";
    const auto reason = reason_of(lack, now);
    if (lack.kind == Lack::Kind::service)
      text += name_of(lack) + " " + reason;
    else if (lack.kind == Lack::Kind::link && lack.peer != 0)
      text += "no " + name_of(lack) + " (" + reason + ")";
    else
      text += (lack.kind == Lack::Kind::placement ? "placement: " : "") + reason;
  }
  return text;
}

void MemberNeeds::follow(const Roster& roster, TimePoint now) {
  if (roster.term == term_ && roster.version == version_) return;
  if (term_ != 0 && roster.term != 0 && roster.term != term_) led_since_ = now;
  term_ = roster.term;
  version_ = roster.version;
  if (serving_ && !roster.serving) unserved_since_ = now;
  if (roster.serving) unserved_since_.reset();
  serving_ = roster.serving;
  std::map<PeerId, const RosterEntry*> listed;
  for (const auto& entry : roster.members) listed[entry.peer] = &entry;
  for (auto& [peer, sight] : sights_) {
    if (listed.contains(peer) || !sight.there) continue;
    // Forgotten by its director, or not yet known to a new one. LOST goes on being LOST.
    sight.there = false;
    if (sight.state != MemberState::lost) sight.since = now;
  }
  for (const auto& [peer, entry] : listed) {
    auto [at, fresh] = sights_.try_emplace(peer);
    Sight& sight = at->second;
    const bool moved = fresh || !sight.there || sight.state != entry->state;
    if (moved || sight.unlinked != entry->unlinked) sight.since = now;
    sight.state = entry->state;
    sight.unlinked = entry->unlinked;
    sight.there = true;
  }
}

std::vector<PeerId> MemberNeeds::known(proto::Role role) const {
  std::vector<PeerId> peers;
  for (const auto& [peer, sight] : sights_)
    if (role_of(peer) == role) peers.push_back(peer);
  return peers;
}

Lack MemberNeeds::link(PeerId peer) const {
  if (auto absent = service(peer)) {
    absent->kind = Lack::Kind::link;
    return *std::move(absent);
  }
  const auto cause = causes_.find(peer);
  const bool refused = cause != causes_.end() && !cause->second.empty();
  return {Lack::Kind::link, peer,
          refused ? "is there, but cannot be linked: " + cause->second : "is there, not linked yet",
          std::nullopt};
}

/// Why that peer does not work; nothing when it does.
std::optional<Lack> MemberNeeds::service(PeerId peer) const {
  const auto found = sights_.find(peer);
  if (found == sights_.end()) return Lack{Lack::Kind::service, peer, "has not joined", {}};
  const Sight& sight = found->second;
  if (sight.there && works(sight.state)) return std::nullopt;
  const bool forgotten = !sight.there && sight.state != MemberState::lost;
  return Lack{
      Lack::Kind::service, peer,
      forgotten ? "is not back in the cluster" : "is " + std::string(to_string(sight.state)),
      sight.since, sight.state == MemberState::draining};
}

void MemberNeeds::any_link(proto::Role role, const RolePulse::Joined& joined, Lacks& lacks) const {
  if (place_.own_router_only && role == proto::Role::router) {
    const auto own = peer_id(role, index_of(place_.self));
    if (!joined.contains(own)) lacks.push_back(link(own));
    return;
  }
  const bool any = std::any_of(joined.begin(), joined.end(),
                               [role](const auto& entry) { return role_of(entry.first) == role; });
  if (any) return;
  const auto peers = known(role);
  for (const auto peer : peers) lacks.push_back(link(peer));
  if (peers.empty())
    lacks.push_back(
        {Lack::Kind::link, 0,
         std::string(role == proto::Role::attention ? "no attention shard" : "no router") +
             " has joined the cluster",
         std::nullopt});
}

Lacks MemberNeeds::links(const RolePulse::Joined& joined) const {
  Lacks lacks;
  switch (role_of(place_.self)) {
    case proto::Role::gateway: any_link(proto::Role::attention, joined, lacks); break;
    case proto::Role::attention: any_link(proto::Role::router, joined, lacks); break;
    case proto::Role::expert: any_link(proto::Role::router, joined, lacks); break;
    case proto::Role::router:
      for (std::uint32_t rank = 0; rank < place_.expert_ranks; ++rank) {
        const auto expert = peer_id(proto::Role::expert, rank);
        if (!joined.contains(expert)) lacks.push_back(link(expert));
      }
  }
  return lacks;
}

PeerId MemberNeeds::unlinked(const RolePulse::Joined& joined) const {
  const auto lacks = links(joined);
  if (lacks.empty()) return 0;
  if (lacks.front().peer != 0) return lacks.front().peer;
  const bool gateway = role_of(place_.self) == proto::Role::gateway;
  return peer_id(gateway ? proto::Role::attention : proto::Role::router, 0);
}

void MemberNeeds::any_service(proto::Role role, Lacks& lacks) const {
  Lacks absent;
  const auto peers = known(role);
  for (const auto peer : peers) {
    auto lack = service(peer);
    const Sight& sight = sights_.at(peer);
    if (!lack && sight.unlinked == 0) return;  // one is enough
    if (!lack)
      lack =
          Lack{Lack::Kind::service, peer, "has no link to " + name_of(sight.unlinked), sight.since};
    absent.push_back(*std::move(lack));
  }
  if (peers.empty())
    absent.push_back({Lack::Kind::service, peer_id(role, 0), "has not joined", {}});
  lacks.insert(lacks.end(), absent.begin(), absent.end());
}

/// Whom the cluster cannot serve without.
Lacks MemberNeeds::services(TimePoint now) const {
  const auto leader = peer_id(proto::Role::router, static_cast<std::uint32_t>(term_ & 0xffff));
  Lacks lacks;
  if (led_since_ && now - *led_since_ < kNewLead)
    lacks.push_back({Lack::Kind::service, leader, "directs the cluster anew", led_since_});
  for (std::uint32_t rank = 0; rank < expert_shards_.value_or(0); ++rank)
    if (auto lack = service(peer_id(proto::Role::expert, rank))) lacks.push_back(*std::move(lack));
  any_service(proto::Role::router, lacks);
  any_service(proto::Role::attention, lacks);
  if (lacks.empty())
    lacks.push_back({Lack::Kind::service, leader, "does not let the cluster serve yet", {}});
  return lacks;
}

Lacks MemberNeeds::all(const RolePulse::Joined& joined, const std::optional<Lack>& away,
                       TimePoint now) const {
  const bool gateway = role_of(place_.self) == proto::Role::gateway;
  Lacks lacks;
  if (away && !(gateway && term_ != 0)) lacks.push_back(*away);
  if (gateway && !away && term_ == 0)
    lacks.push_back({Lack::Kind::admission, 0, "no director is active yet", std::nullopt});
  if (!expert_shards_)
    lacks.push_back({Lack::Kind::placement, 0,
                     "there is none yet: the cluster has never been complete, see `troupe status`",
                     std::nullopt});
  if (gateway && term_ != 0 && !serving_ && expert_shards_) {
    const auto absent = services(now);
    lacks.insert(lacks.end(), absent.begin(), absent.end());
  }
  for (auto& lack : links(joined)) {
    const bool said = std::any_of(lacks.begin(), lacks.end(), [&](const Lack& other) {
      return other.kind == Lack::Kind::service && other.peer == lack.peer;
    });
    if (!said) lacks.push_back(std::move(lack));
  }
  return lacks;
}

}  // namespace troupe::actors
