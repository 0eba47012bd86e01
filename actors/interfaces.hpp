// Every typed actor in data-flow order, one line per message: the control plane of a cluster.
// What exists per token travels in frames over links, never in these messages.
#pragma once
#include <caf/all.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actors/attention/attention_role.hpp"
#include "actors/control_messages.hpp"
#include "actors/expert/expert_role.hpp"
#include "actors/gateway/gateway_role.hpp"
#include "actors/router/router_role.hpp"

namespace troupe::actors {

/// One end of an in-process link on its way to the loop that will own it. Across processes an
/// address takes its place.
struct LinkEnd {
  std::shared_ptr<std::unique_ptr<transport::Link>> link;
};
/// Whether a connection came to be; `ok` or why not.
struct MeetOutcome {
  Error error{Errc::ok, {}};
};
/// The address of a new link for the peer to open, or why there is none.
struct DialOutcome {
  std::string address;
  Error error{Errc::ok, {}};
};
/// The joined links of one role, and what became of those that were.
struct LinkReports {
  std::vector<LinkReport> links;
  std::vector<LinkEndings> endings;
};
/// A request on its way to its session.
struct OpenOrder {
  RequestId request = 0;
  std::shared_ptr<GenerateRequest> asked;
  std::shared_ptr<RequestListener> listener;
};
}  // namespace troupe::actors

CAF_BEGIN_TYPE_ID_BLOCK(troupe_actors, caf::first_custom_type_id)
// Serialised: the control plane across processes. Append only.
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::Announcement))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::AnnounceReply))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::Beat))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::Roster))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::ConnectRequest))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::ConnectReply))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::PlacementNote))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::PublishOutcome))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::ReportReply))
CAF_ADD_ATOM(troupe_actors, troupe::actors, meet_atom, "meet")
CAF_ADD_ATOM(troupe_actors, troupe::actors, attach_atom, "attach")
CAF_ADD_ATOM(troupe_actors, troupe::actors, announce_atom, "announce")
CAF_ADD_ATOM(troupe_actors, troupe::actors, beat_atom, "beat")
CAF_ADD_ATOM(troupe_actors, troupe::actors, roster_atom, "roster")
CAF_ADD_ATOM(troupe_actors, troupe::actors, evicted_atom, "evicted")
CAF_ADD_ATOM(troupe_actors, troupe::actors, connect_atom, "connect")
CAF_ADD_ATOM(troupe_actors, troupe::actors, report_atom, "report")
CAF_ADD_ATOM(troupe_actors, troupe::actors, tick_atom, "tick")
CAF_ADD_ATOM(troupe_actors, troupe::actors, follow_atom, "follow")
CAF_ADD_ATOM(troupe_actors, troupe::actors, adopt_atom, "adopt")
CAF_ADD_ATOM(troupe_actors, troupe::actors, publish_atom, "publish")
CAF_ADD_ATOM(troupe_actors, troupe::actors, newest_atom, "newest")
CAF_ADD_ATOM(troupe_actors, troupe::actors, status_atom, "status")
CAF_ADD_ATOM(troupe_actors, troupe::actors, open_atom, "open")
CAF_ADD_ATOM(troupe_actors, troupe::actors, submit_atom, "submit")
CAF_ADD_ATOM(troupe_actors, troupe::actors, cancel_atom, "cancel")
CAF_ADD_ATOM(troupe_actors, troupe::actors, expire_atom, "expire")
CAF_ADD_ATOM(troupe_actors, troupe::actors, stop_atom, "stop")
CAF_ADD_ATOM(troupe_actors, troupe::actors, dial_atom, "dial")
CAF_ADD_ATOM(troupe_actors, troupe::actors, dialled_atom, "dialled")
CAF_ADD_ATOM(troupe_actors, troupe::actors, abandon_atom, "abandon")
CAF_ADD_ATOM(troupe_actors, troupe::actors, accept_atom, "accept")
CAF_ADD_ATOM(troupe_actors, troupe::actors, drop_atom, "drop")
CAF_ADD_ATOM(troupe_actors, troupe::actors, rejoin_atom, "rejoin")
CAF_ADD_ATOM(troupe_actors, troupe::actors, links_atom, "links")
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::ExpertLoad))
CAF_ADD_TYPE_ID(troupe_actors, (troupe::actors::LoadsReply))
CAF_ADD_ATOM(troupe_actors, troupe::actors, load_atom, "load")
CAF_ADD_ATOM(troupe_actors, troupe::actors, loads_atom, "loads")
CAF_END_TYPE_ID_BLOCK(troupe_actors)

// In-process only: none of these is ever serialised.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::LinkEnd)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::MeetOutcome)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::DialOutcome)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::LinkReports)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::OpenOrder)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::SubmitOrder)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::TokensNote)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::LogitsNote)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::PromptLogprobsNote)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::BrokenNote)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::PlacementPtr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::GatewayStatus)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::AttentionStatus)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::RouterStatus)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::ExpertStatus)

namespace troupe::actors {

/// One request; ends itself after on_finished. Ordinary CAF actor.
using SessionActor = caf::typed_actor<
    // Tokens of an attempt, the last ones with a finish reason.
    caf::reacts_to<TokensNote>,
    // Logits that the request asked for.
    caf::reacts_to<LogitsNote>,
    // Logprobs of its prompt.
    caf::reacts_to<PromptLogprobsNote>,
    // The attempt is over without a result; asks again where that can help.
    caf::reacts_to<BrokenNote>,
    // Withdrawn by the caller.
    caf::reacts_to<cancel_atom>,
    // Its own deadline.
    caf::reacts_to<expire_atom>>;

/// What every polled role answers about its links.
using LinkedActor = caf::typed_actor<
    // Open an in-process link to that peer, another role of this process -> whether it joined.
    caf::replies_to<meet_atom, PeerId, caf::strong_actor_ptr>::with<MeetOutcome>,
    // The other end of such a link.
    caf::reacts_to<attach_atom, PeerId, LinkEnd>,
    // Make a link for that peer, over tcp alone if so told, and keep it -> the address that the
    // peer has to open.
    caf::replies_to<dial_atom, PeerId, bool>::with<DialOutcome>,
    // The peer's own address for the dialled link: opens it -> whether it joined.
    caf::replies_to<dialled_atom, PeerId, std::string>::with<MeetOutcome>,
    // The dialled link will not be needed.
    caf::reacts_to<abandon_atom, PeerId>,
    // That peer has dialled us and lives at this address: makes and opens a link -> its address.
    caf::replies_to<accept_atom, PeerId, std::string>::with<DialOutcome>,
    // That peer has gone, says the director: its link is lost, for this reason.
    caf::reacts_to<drop_atom, PeerId, std::string>,
    // Lose every link and all work, go on under that incarnation.
    caf::reacts_to<rejoin_atom, std::uint64_t>,
    // A placement of the director; older ones are ignored. Routers dispatch by it, experts name it
    // when they answer NotResident, the others need none.
    caf::reacts_to<adopt_atom, PlacementPtr>, caf::replies_to<links_atom>::with<LinkReports>>;

/// Picks attention shards for requests. Polled.
using GatewayActor = LinkedActor::extend<
    // A new request: spawns its session.
    caf::reacts_to<open_atom, OpenOrder>,
    // A session wants this attempt sent.
    caf::reacts_to<submit_atom, SubmitOrder>,
    // The caller, or the session itself, withdraws a request.
    caf::reacts_to<cancel_atom, RequestId>,
    // Ends all sessions as cancelled, then itself.
    caf::reacts_to<stop_atom>, caf::replies_to<status_atom>::with<GatewayStatus>>;

/// Owns sequences and their cache. Polled.
using AttentionActor = LinkedActor::extend<caf::replies_to<status_atom>::with<AttentionStatus>>;

/// Gates, dispatches and combines. Polled.
using RouterActor = LinkedActor::extend<caf::replies_to<status_atom>::with<RouterStatus>>;

/// Owns expert weights. Polled.
using ExpertActor = LinkedActor::extend<caf::replies_to<status_atom>::with<ExpertStatus>>;

/// Where a role of this process gets its placements from. In-process only.
using PlacementActor = caf::typed_actor<
    // That actor wants every placement from now on, the current one first.
    caf::reacts_to<follow_atom, RouterActor>, caf::reacts_to<follow_atom, ExpertActor>,
    // A router met NotResident: send it the newest placement again.
    caf::reacts_to<newest_atom, RouterActor>>;

/// The director of a cluster within one process: nobody is silent, links are made by whoever
/// spawns the roles.
using LocalDirectorActor = PlacementActor::extend<
    // A role has started.
    caf::reacts_to<announce_atom, Announcement>,
    // Put a placement in force -> its epoch.
    caf::replies_to<publish_atom, PlacementNote>::with<PublishOutcome>>;

/// A member as directors see it: its agent. Ordinary CAF actor, across processes.
using MemberActor = caf::typed_actor<
    // All members, after every change; term 0: that director is passive.
    caf::reacts_to<roster_atom, Roster>,
    // A placement in force. May be older than one that is known.
    caf::reacts_to<adopt_atom, PlacementNote>,
    // Somebody opens a link to this member -> its address for it. Within 2 s.
    caf::replies_to<connect_atom, ConnectRequest>::with<ConnectReply>,
    // That incarnation of it was LOST: it has to drop everything and announce a new one.
    caf::reacts_to<evicted_atom, std::uint64_t>,
    // What the expert shard that it speaks for has computed; an error if it speaks for none.
    caf::replies_to<load_atom>::with<ExpertLoad>>;

/// Membership and placement: one in every router process, one of them active. Ordinary CAF actor,
/// across processes. Senders are agents; to one whose announcement was not accepted only refusals
/// are said.
using DirectorActor = caf::typed_actor<
    // The sender is the agent of that member -> the roster, or why not. Placements and rosters
    // follow by themselves.
    caf::replies_to<announce_atom, Announcement>::with<AnnounceReply>,
    // Sign of life.
    caf::reacts_to<beat_atom, Beat>,
    // To be passed on to the agent of the acceptor -> its answer. Within 2 s.
    caf::replies_to<connect_atom, ConnectRequest>::with<ConnectReply>,
    // Send the newest placement again (as adopt), if there is one.
    caf::reacts_to<newest_atom>,
    // Everything known about the cluster.
    caf::replies_to<report_atom>::with<ReportReply>,
    // What all expert shards have computed, as their agents say when asked now.
    caf::replies_to<loads_atom>::with<LoadsReply>,
    // Put a placement in force -> its epoch.
    caf::replies_to<publish_atom, PlacementNote>::with<PublishOutcome>>;

}  // namespace troupe::actors
