// Matching of replies, field by field.
#include "proto/identity.hpp"

namespace troupe::proto {

bool sent_by(const PeerIdentity& peer, const FrameHeader& frame) {
  return frame.cluster_id == peer.cluster_id && frame.numerics_id == peer.numerics_id &&
         frame.sender_incarnation == peer.incarnation;
}

bool kind_answers(FrameKind request, FrameKind reply) {
  switch (request) {
    case FrameKind::hello: return reply == FrameKind::hello_ack || reply == FrameKind::goodbye;
    case FrameKind::submit:
      return reply == FrameKind::tokens || reply == FrameKind::logits ||
             reply == FrameKind::prompt_logprobs || reply == FrameKind::failed;
    case FrameKind::rows: return reply == FrameKind::combined || reply == FrameKind::failed;
    case FrameKind::expert_rows:
      return reply == FrameKind::expert_reply || reply == FrameKind::failed;
    default: return false;
  }
}

bool answers(const FrameHeader& request, const FrameHeader& reply) {
  return reply.cluster_id == request.cluster_id && reply.numerics_id == request.numerics_id &&
         reply.work_id == request.work_id && reply.attempt == request.attempt &&
         reply.layer == request.layer && reply.term == request.term &&
         reply.epoch == request.epoch &&
         kind_answers(static_cast<FrameKind>(request.kind), static_cast<FrameKind>(reply.kind));
}

FrameHeader reply_header(const FrameHeader& request, std::uint64_t own_incarnation,
                         std::uint64_t remaining_us) {
  FrameHeader reply = request;
  reply.kind = 0;
  reply.total_bytes = 0;
  reply.sender_incarnation = own_incarnation;
  reply.remaining_us = remaining_us;
  return reply;
}

std::uint64_t budget_after(std::uint64_t remaining_us, std::uint64_t residence_us) {
  if (remaining_us == 0) return 0;
  return residence_us < remaining_us ? remaining_us - residence_us : 1;
}

}  // namespace troupe::proto
