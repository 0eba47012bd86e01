// What services tell the director and hear from it: plain values, no CAF (docs/adr/0002).
#pragma once
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "actors/peer_id.hpp"
#include "core/error.hpp"
#include "model/expert_model.hpp"
#include "proto/frames/header.hpp"

namespace troupe::actors {

enum class MemberState : std::uint8_t { loading, active, suspect, draining, lost };
/// Upper case, as status and metrics spell it ("ACTIVE").
std::string_view to_string(MemberState state);

// Bounds of what a control message may say; whatever is longer is refused or clipped on arrival.
inline constexpr std::size_t kMembersMax = 4096;           // of a roster or report
inline constexpr std::size_t kAddressBytesMax = 65536;     // a UCX worker address has 200 to 2000
inline constexpr std::size_t kNameBytesMax = 255;          // host, program version, ops address
inline constexpr std::uint32_t kExpertRanksMax = 65535;    // ranks travel in 16 bits
inline constexpr std::int64_t kReplicaListsMax = 1 << 20;  // layers * experts; V3: 61 * 256

/// A member's first words to a director. Proves membership, says what it is and what it holds.
struct Announcement {
  std::uint16_t protocol_oldest = proto::kProtocolVersionOldest;
  std::uint16_t protocol_newest = proto::kProtocolVersion;
  std::array<std::byte, proto::kJoinTokenBytes> join_token{};
  std::uint64_t cluster_id = 0;
  std::uint64_t numerics_id = 0;
  PeerId peer = 0;
  std::uint64_t incarnation = 0;  // random per life of the role
  std::uint64_t process = 0;      // random per process; equal ones are joined in-process
  std::uint64_t term_seen = 0;
  MemberState state = MemberState::loading;
  std::uint32_t expert_ranks = 0;     // expert shards: of how many; its rank is the peer's index
  model::ExpertModel::Range experts;  // expert shards: ids held in every MoE layer
  bool wants_quantised_rows = false;  // expert shards
  std::string host;
  std::int64_t pid = 0;
  std::string version;      // of the program
  std::string ops_address;  // host:port of its ops port, empty if it has none
  PeerId unlinked = 0;      // as in Beat
};

/// Sign of life, every 100 ms while work is open, every 500 ms when idle.
struct Beat {
  PeerId peer = 0;
  std::uint64_t incarnation = 0;
  MemberState state = MemberState::loading;
  float load_progress = 0;           // 0 to 1
  std::uint64_t progress = 0;        // grows while the role's loop gets work done
  std::uint64_t oldest_work_us = 0;  // age of the oldest open work, 0 if none
  std::uint64_t queued_rows = 0;
  std::uint64_t term_seen = 0;
  std::uint64_t director_term = 0;  // routers: the term their own director is active with, else 0
  PeerId unlinked = 0;  // somebody its role needs a link to and has none; 0: it has all it needs
};

struct RosterEntry {
  PeerId peer = 0;
  std::uint64_t incarnation = 0;
  std::uint64_t process = 0;
  MemberState state = MemberState::loading;
  PeerId unlinked = 0;  // as in Beat
};

/// All members a director knows. Sent whole on every change.
struct Roster {
  std::uint64_t term = 0;     // of the active director that sends it
  std::uint64_t version = 0;  // grows within the term
  bool serving = false;       // all ranks, a router and an attention shard are active and linked
  std::vector<RosterEntry> members;
};

/// Why a director does not let a member in: a closed set, for decisions, logs and metrics.
/// Values travel: append only.
enum class Refusal : std::uint8_t {
  none = 0,        // welcome
  token = 1,       // wrong join token; nothing else was looked at
  cluster = 2,     // another cluster's member
  version = 3,     // no protocol version in common
  numerics = 4,    // another model revision, mode or class of machine
  ranks = 5,       // index or experts do not fit the configured counts
  rank_taken = 6,  // its holder is alive; asking again helps once that is gone
  evicted = 7,     // this incarnation was LOST; draw a new one and announce again
  full = 8,        // members_max; asking again later can help
  malformed = 9,   // not an announcement
};
/// As logs and metrics spell it ("rank_taken").
std::string_view to_string(Refusal refusal);
/// Whether the same announcement may be accepted later; else the process has to be changed.
bool may_pass(Refusal refusal);

/// A director's answer to an announcement.
struct AnnounceReply {
  Refusal refusal = Refusal::none;
  Error error{Errc::ok, {}};  // names both values and the next step
  Roster roster;              // of an active director; a passive one sends term 0 and no members
};

/// The opener of a link asks for the acceptor's address through a director.
struct ConnectRequest {
  PeerId from = 0;
  PeerId to = 0;
  std::uint64_t incarnation = 0;  // of the opener
  std::string address;            // of the opener's UCX worker, opaque
};
struct ConnectReply {
  Error error{Errc::ok, {}};
  std::string address;  // of the acceptor's UCX worker
};

/// One line of `troupe status`.
struct MemberReport {
  RosterEntry entry;
  Beat last_beat;
  std::chrono::milliseconds silent{};  // since the last sign of life
  model::ExpertModel::Range experts;
  std::string host;
  std::int64_t pid = 0;
  std::string version;
  std::string ops_address;
};

struct ClusterReport {
  std::uint64_t term = 0;  // 0: no director is active
  std::uint64_t epoch = 0;
  bool serving = false;
  std::uint64_t numerics_id = 0;
  std::uint32_t expert_ranks = 0;
  std::vector<MemberReport> members;  // ascending by peer
};
/// `error` is not ok for an asker that no director has let in.
struct ReportReply {
  Error error{Errc::ok, {}};
  ClusterReport report;
};

/// What one expert shard has computed.
struct ExpertLoad {
  PeerId peer = 0;
  model::ExpertModel::Range experts;  // that it holds
  std::vector<std::int64_t> pairs;    // [layers, experts held] (row, expert) pairs since its start

  std::int64_t held() const { return experts.last - experts.first; }
  /// Whether it has a count for each expert of so many layers; what has arrived may have any.
  bool is_of(std::int64_t layers) const {
    return static_cast<std::int64_t>(pairs.size()) == layers * held();
  }
};
/// Of `tokens` [layers, experts] the columns that `range` holds. `experts` > 0 divides its size.
std::vector<std::int64_t> held_columns(const std::vector<std::int64_t>& tokens,
                                       std::int64_t experts,
                                       const model::ExpertModel::Range& range);
/// A shard that does not answer within a second, or has no placement yet, is left out. `error` as
/// in ReportReply.
struct LoadsReply {
  Error error{Errc::ok, {}};
  std::vector<ExpertLoad> ranks;
};

}  // namespace troupe::actors
