// Hands requests on to a LocalCluster and describes it.
#include "services/gateway/local_engine.hpp"

#include <unistd.h>

#include <array>

#include "actors/peer_id.hpp"

namespace troupe::services {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

}  // namespace

LocalEngine::LocalEngine(std::unique_ptr<actors::LocalCluster> cluster,
                         const actors::ClusterSettings& settings, std::int64_t experts)
    : cluster_(std::move(cluster)),
      settings_(settings),
      experts_(experts),
      numerics_id_(cluster_->status().numerics_id) {}

Expected<actors::RequestId> LocalEngine::submit(actors::GenerateRequest request,
                                                std::shared_ptr<actors::RequestListener> listener) {
  return cluster_->submit(std::move(request), std::move(listener));
}

actors::ClusterReport LocalEngine::report() const {
  const actors::ClusterStatus status = cluster_->status();
  actors::ClusterReport report;
  report.term = status.term;
  report.epoch = status.epoch;
  report.serving = true;
  report.numerics_id = status.numerics_id;
  report.expert_ranks = static_cast<std::uint32_t>(settings_.experts);
  const auto add = [&](proto::Role role, int count) {
    for (int i = 0; i < count; ++i) {
      actors::MemberReport member;
      member.entry.peer = actors::peer_id(role, static_cast<std::uint32_t>(i));
      member.entry.process = static_cast<std::uint64_t>(::getpid());
      member.entry.state = actors::MemberState::active;
      member.last_beat.load_progress = 1;
      member.host = host_name();
      member.pid = ::getpid();
      member.ops_address = ops_address_;
      if (role == proto::Role::expert) {
        member.experts = model::ExpertModel::range_of(i, count, experts_);
      }
      report.members.push_back(std::move(member));
    }
  };
  // In order of the roles' numbers, as peers are.
  for (const proto::Role role :
       {proto::Role::gateway, proto::Role::attention, proto::Role::router, proto::Role::expert}) {
    const int count = role == proto::Role::gateway     ? 1
                      : role == proto::Role::attention ? settings_.attention
                      : role == proto::Role::router    ? settings_.routers
                                                       : settings_.experts;
    add(role, count);
  }
  return report;
}

}  // namespace troupe::services
