// The bounds of control messages, held against what has arrived.
#include "actors/control_messages.hpp"
#include "proto/frames/codec.hpp"

namespace troupe::actors {
namespace {

constexpr std::int64_t kExpertIdsMax = proto::kExpertsMax;

void clip(std::string& text) {
  if (text.size() > kNameBytesMax) text.resize(kNameBytesMax);
}

bool fits(MemberState state) { return state <= MemberState::lost; }
bool fits(const model::ExpertModel::Range& range) {
  return 0 <= range.first && range.first <= range.last && range.last <= kExpertIdsMax;
}

}  // namespace

bool settle(Error& error) {
  if (error.code > Errc::internal) error.code = Errc::internal;  // of a newer build
  error.detail.resize(proto::clip_detail(error.detail).size());
  return true;
}

bool settle(Announcement& announcement) {
  clip(announcement.host);
  clip(announcement.version);
  clip(announcement.ops_address);
  return fits(announcement.state) && fits(announcement.experts);
}

bool settle(Beat& beat) {
  // Written so that a NaN becomes 0.
  if (!(beat.load_progress >= 0)) beat.load_progress = 0;
  if (beat.load_progress > 1) beat.load_progress = 1;
  return fits(beat.state);
}

bool settle(Roster& roster) {
  if (roster.members.size() > kMembersMax) return false;
  for (const auto& member : roster.members)
    if (!fits(member.state)) return false;
  return true;
}

bool settle(AnnounceReply& reply) {
  if (reply.refusal > Refusal::malformed) reply.refusal = Refusal::malformed;
  return settle(reply.error);
}

bool settle(ConnectRequest& request) { return request.address.size() <= kAddressBytesMax; }

bool settle(ConnectReply& reply) {
  return reply.address.size() <= kAddressBytesMax && settle(reply.error);
}

bool settle(ClusterReport& report) {
  if (report.members.size() > kMembersMax) return false;
  for (auto& member : report.members) {
    clip(member.host);
    clip(member.version);
    clip(member.ops_address);
    if (!fits(member.entry.state) || !fits(member.experts)) return false;
  }
  return true;
}

bool settle(ExpertLoad& load) {
  return fits(load.experts) && static_cast<std::int64_t>(load.pairs.size()) <= kReplicaListsMax;
}

bool settle(LoadsReply& reply) { return reply.ranks.size() <= kMembersMax && settle(reply.error); }

}  // namespace troupe::actors
