// GetClusterStatus as a client.
#include <troupe/admin/v1/cluster.grpc.pb.h>

#include <charconv>

#include "services/client/channel.hpp"

namespace troupe::services {
namespace {

namespace admin = ::troupe::admin::v1;

std::uint64_t from_hexadecimal(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

std::chrono::microseconds to_time(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) +
         std::chrono::microseconds(duration.nanos() / 1000);
}

actors::MemberReport to_member(const admin::Member& member) {
  actors::MemberReport report;
  report.entry.peer = actors::peer_id(static_cast<proto::Role>(member.role()), member.index());
  report.entry.incarnation = from_hexadecimal(member.incarnation());
  report.entry.process = from_hexadecimal(member.process());
  // The message counts from 1, so that 0 can be "not said".
  report.entry.state = static_cast<actors::MemberState>(std::max(0, member.state() - 1));
  report.last_beat.load_progress = member.load_progress();
  report.last_beat.progress = member.progress();
  report.last_beat.oldest_work_us =
      static_cast<std::uint64_t>(to_time(member.oldest_work()).count());
  report.last_beat.queued_rows = member.queued_rows();
  report.silent = std::chrono::duration_cast<std::chrono::milliseconds>(to_time(member.silent()));
  report.experts = {member.experts().begin(), member.experts().end()};
  report.host = member.host();
  report.pid = member.pid();
  report.version = member.version();
  report.ops_address = member.ops_address();
  return report;
}

/// Servers ahead of us may know roles and states that we do not.
bool known(const admin::Member& member) {
  return member.role() >= admin::ROLE_GATEWAY && member.role() <= admin::ROLE_EXPERT &&
         member.state() >= admin::MEMBER_STATE_LOADING &&
         member.state() <= admin::MEMBER_STATE_LOST;
}

}  // namespace

Answered<actors::ClusterReport, ClientFailure> fetch_cluster_report(
    const std::string& url, std::chrono::milliseconds bound) {
  const auto channel = open_channel({.url = url});
  await_connection(*channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + bound);
  admin::GetClusterStatusResponse response;
  const auto stub = admin::ClusterService::NewStub(channel);
  const grpc::Status status = stub->GetClusterStatus(&context, {}, &response);
  if (!status.ok()) return to_failure(status);
  actors::ClusterReport report;
  report.term = response.term();
  report.epoch = response.epoch();
  report.serving = response.serving();
  report.numerics_id =
      from_hexadecimal(std::string_view(response.system_fingerprint())
                           .substr(std::min<std::size_t>(3, response.system_fingerprint().size())));
  report.expert_ranks = response.expert_ranks();
  for (const auto& member : response.members()) {
    if (known(member)) report.members.push_back(to_member(member));
  }
  return report;
}

}  // namespace troupe::services
