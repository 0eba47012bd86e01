// Which reply answers which request (design 4): asked before a buffer is chosen or a row is used.
#pragma once
#include <cstdint>

#include "proto/frames/header.hpp"

namespace troupe::proto {

/// Who a connection's peer said it is.
struct PeerIdentity {
  std::uint64_t cluster_id = 0;
  std::uint64_t numerics_id = 0;
  std::uint64_t incarnation = 0;
};

/// True when the frame was sent by exactly this life of this peer.
bool sent_by(const PeerIdentity& peer, const FrameHeader& frame);

/// True when `reply` can only be an answer to `request`: same cluster, numerics, work item, attempt
/// and layer, a kind that answers the request's kind, and the *request's* term and epoch repeated
/// (a shard's newer placement stands in ExpertReply's body, never in the header). Everything else
/// is stale: to be counted and dropped. Whether the pair was answered already, the asker knows.
/// `request.kind` has to be set; `encode` sets it in the bytes it writes only.
bool answers(const FrameHeader& request, const FrameHeader& reply);

/// Whether frames of kind `reply` are ever an answer to frames of kind `request`.
bool kind_answers(FrameKind request, FrameKind reply);

/// The header of an answer to `request`: its identity, lane and layer repeated.
/// `remaining_us` is what is left of the budget, the own residence subtracted.
FrameHeader reply_header(const FrameHeader& request, std::uint64_t own_incarnation,
                         std::uint64_t remaining_us);

/// Budget left after `residence_us` here: 1 where it ran out, because 0 means "no budget" and
/// stays.
std::uint64_t budget_after(std::uint64_t remaining_us, std::uint64_t residence_us);

}  // namespace troupe::proto
