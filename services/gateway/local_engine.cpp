// Hands requests on to a LocalCluster and describes it.
#include "services/gateway/local_engine.hpp"

#include <unistd.h>

#include <array>

#include "actors/peer_id.hpp"
#include "core/check.hpp"

namespace troupe::services {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

}  // namespace

void LocalEngine::begin(std::unique_ptr<actors::LocalCluster> cluster) {
  TROUPE_CHECK(cluster_ == nullptr && cluster->numerics_id() == numerics_id_,
               "one cluster, of the numerics that were promised");
  cluster_ = std::move(cluster);
  running_ = cluster_.get();
}

Expected<actors::RequestId> LocalEngine::submit(actors::GenerateRequest request,
                                                std::shared_ptr<actors::RequestListener> listener) {
  if (auto* cluster = running_.load()) {
    return cluster->submit(std::move(request), std::move(listener));
  }
  return unexpected(Errc::unavailable, readiness().detail);
}

void LocalEngine::cancel(actors::RequestId request) {
  if (auto* cluster = running_.load()) cluster->cancel(request);
}

actors::Readiness LocalEngine::readiness() const {
  if (running_.load() != nullptr) return {};
  return {actors::Readiness::State::starting, "loading the model"};
}

actors::ClusterStatus LocalEngine::status() const {
  const auto* cluster = running_.load();
  return cluster == nullptr ? actors::ClusterStatus{} : cluster->status();
}

std::uint64_t LocalEngine::epoch() const {
  if (epoch_ == 0) epoch_ = status().epoch;
  return epoch_;
}

actors::RoleStatuses LocalEngine::roles() const {
  const auto* cluster = running_.load();
  return cluster == nullptr ? actors::RoleStatuses{} : cluster->roles();
}

std::vector<actors::ExpertLoad> LocalEngine::loads() const {
  std::vector<actors::ExpertLoad> loads;
  for (const auto& [rank, status] : roles().experts) {
    const auto range =
        model::ExpertModel::range_of(static_cast<int>(rank), shards_.experts, experts_);
    loads.push_back({actors::peer_id(proto::Role::expert, rank), range,
                     actors::held_columns(status.tokens, experts_, range)});
  }
  return loads;
}

actors::ClusterReport LocalEngine::report() const {
  const actors::ClusterStatus status = this->status();
  const bool loaded = readiness().ready();
  actors::ClusterReport report;
  report.term = status.term;
  report.epoch = status.epoch;
  report.serving = loaded;
  report.numerics_id = numerics_id_;
  report.expert_ranks = static_cast<std::uint32_t>(shards_.experts);
  const auto add = [&](proto::Role role, int count) {
    for (int i = 0; i < count; ++i) {
      actors::MemberReport member;
      member.entry.peer = actors::peer_id(role, static_cast<std::uint32_t>(i));
      member.entry.process = static_cast<std::uint64_t>(::getpid());
      member.entry.state = loaded ? actors::MemberState::active : actors::MemberState::loading;
      member.last_beat.load_progress = loaded ? 1 : 0;
      member.host = host_name();
      member.pid = ::getpid();
      member.ops_address = ops_address_;
      member.version = version_;
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
                      : role == proto::Role::attention ? shards_.attention
                      : role == proto::Role::router    ? shards_.routers
                                                       : shards_.experts;
    add(role, count);
  }
  return report;
}

}  // namespace troupe::services
