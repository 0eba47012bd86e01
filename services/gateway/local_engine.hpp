// A whole cluster in this process as the engine behind a gateway.
#pragma once
#include <memory>
#include <string>
#include <utility>

#include "actors/local_cluster.hpp"
#include "actors/membership.hpp"
#include "actors/request_engine.hpp"

namespace troupe::services {

/// *Threading*: any; `report` blocks until the roles have answered.
class LocalEngine final : public actors::RequestEngine {
 public:
  LocalEngine(std::unique_ptr<actors::LocalCluster> cluster,
              const actors::ClusterSettings& settings, std::int64_t experts);

  Expected<actors::RequestId> submit(actors::GenerateRequest request,
                                     std::shared_ptr<actors::RequestListener> listener) override;
  void cancel(actors::RequestId request) override { cluster_->cancel(request); }
  actors::Readiness readiness() const override { return {}; }
  std::uint64_t numerics_id() const override { return numerics_id_; }

  actors::ClusterStatus status() const { return cluster_->status(); }
  actors::RoleStatuses roles() const { return cluster_->roles(); }
  /// Shown of every role.
  void set_ops_address(std::string address) { ops_address_ = std::move(address); }
  /// As a director would: every role of this process, all of them active.
  actors::ClusterReport report() const;

 private:
  std::unique_ptr<actors::LocalCluster> cluster_;
  actors::ClusterSettings settings_;
  std::int64_t experts_;
  std::uint64_t numerics_id_;
  std::string ops_address_;
};

}  // namespace troupe::services
