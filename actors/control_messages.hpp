// How the control messages travel: CAF's inspection of the values in membership.hpp, and their
// bounds.
//
// Fields are appended, never moved or dropped. Whatever breaks a bound is an error of the
// deserialisation: CAF drops the message together with its connection.
#pragma once
#include <caf/error.hpp>
#include <caf/meta/load_callback.hpp>
#include <caf/meta/omittable.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/sec.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "actors/membership.hpp"
#include "actors/router/router_role.hpp"

namespace troupe::actors {

/// A placement on its way. Inside a process only the pointer moves.
struct PlacementNote {
  PlacementPtr placement;  // never null
};
/// The epoch that was published, or why none was.
struct PublishOutcome {
  std::uint64_t epoch = 0;
  Error error{Errc::ok, {}};
};

/// A placement as it travels. `code` holds, layer by layer, either 0 (as the layer before) or 1
/// followed by the replicas of each expert: their count, then their shards.
struct PackedPlacement {
  std::uint64_t term = 0;
  std::uint64_t epoch = 0;
  std::uint32_t experts = 0;
  std::uint32_t layers = 0;
  bool quantised_rows = false;
  std::vector<std::uint16_t> code;
};
PackedPlacement pack(const PublishedPlacement& placement);
/// *Errors*: `malformed` when the code does not end with the last layer, replicas are not
/// ascending, or layers * experts exceed kReplicaListsMax.
Expected<PlacementPtr> unpack(const PackedPlacement& packed);

/// Cut what is longer than its bound. False: past any repair (an unknown state, too many members,
/// a range that is none).
bool settle(Announcement& announcement);
bool settle(Beat& beat);
bool settle(Roster& roster);
bool settle(AnnounceReply& reply);
bool settle(ConnectRequest& request);
bool settle(ConnectReply& reply);
bool settle(ClusterReport& report);
bool settle(ExpertLoad& load);
bool settle(LoadsReply& reply);
bool settle(Error& error);

namespace detail {
/// The last argument of an inspect function: holds what has arrived against its bounds.
template <class Value>
auto settled(Value& value) {
  return caf::meta::load_callback([&value]() -> caf::error {
    if (settle(value)) return caf::none;
    return caf::sec::invalid_argument;
  });
}
}  // namespace detail

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, Announcement& x) {
  return f(caf::meta::type_name("Announcement"), x.protocol_oldest, x.protocol_newest,
           caf::meta::omittable(), x.join_token, x.cluster_id, x.numerics_id, x.peer, x.incarnation,
           x.process, x.term_seen, x.state, x.expert_ranks, x.experts.first, x.experts.last,
           x.wants_quantised_rows, x.host, x.pid, x.version, x.ops_address, x.unlinked,
           detail::settled(x));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, Beat& x) {
  return f(caf::meta::type_name("Beat"), x.peer, x.incarnation, x.state, x.load_progress,
           x.progress, x.oldest_work_us, x.queued_rows, x.term_seen, x.director_term, x.unlinked,
           detail::settled(x));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, RosterEntry& x) {
  return f(caf::meta::type_name("RosterEntry"), x.peer, x.incarnation, x.process, x.state,
           x.unlinked);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, Roster& x) {
  return f(caf::meta::type_name("Roster"), x.term, x.version, x.serving, x.members,
           detail::settled(x));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, AnnounceReply& x) {
  return f(caf::meta::type_name("AnnounceReply"), x.refusal, x.error.code, x.error.detail, x.roster,
           detail::settled(x));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, ConnectRequest& x) {
  return f(caf::meta::type_name("ConnectRequest"), x.from, x.to, x.incarnation, x.address,
           detail::settled(x));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, ConnectReply& x) {
  return f(caf::meta::type_name("ConnectReply"), x.error.code, x.error.detail, x.address,
           detail::settled(x));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, PublishOutcome& x) {
  return f(caf::meta::type_name("PublishOutcome"), x.epoch, x.error.code, x.error.detail,
           detail::settled(x.error));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, MemberReport& x) {
  std::int64_t silent_ms = x.silent.count();
  return f(caf::meta::type_name("MemberReport"), x.entry, x.last_beat, silent_ms, x.experts.first,
           x.experts.last, x.host, x.pid, x.version, x.ops_address,
           caf::meta::load_callback([&]() -> caf::error {
             x.silent = std::chrono::milliseconds(silent_ms);
             return caf::none;
           }));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, ClusterReport& x) {
  return f(caf::meta::type_name("ClusterReport"), x.term, x.epoch, x.serving, x.numerics_id,
           x.expert_ranks, x.members, detail::settled(x));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, ReportReply& x) {
  return f(caf::meta::type_name("ReportReply"), x.error.code, x.error.detail, x.report,
           detail::settled(x.error));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, ExpertLoad& x) {
  return f(caf::meta::type_name("ExpertLoad"), x.peer, x.experts.first, x.experts.last, x.pairs,
           detail::settled(x));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, LoadsReply& x) {
  return f(caf::meta::type_name("LoadsReply"), x.error.code, x.error.detail, x.ranks,
           detail::settled(x));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, PlacementNote& x) {
  PackedPlacement packed;
  if constexpr (Inspector::reads_state) {
    if (x.placement) packed = pack(*x.placement);
  }
  return f(caf::meta::type_name("PlacementNote"), packed.term, packed.epoch, packed.experts,
           packed.layers, packed.quantised_rows, packed.code,
           caf::meta::load_callback([&]() -> caf::error {
             auto placement = unpack(packed);
             if (!placement) return caf::sec::invalid_argument;
             x.placement = std::move(*placement);
             return caf::none;
           }));
}

}  // namespace troupe::actors
