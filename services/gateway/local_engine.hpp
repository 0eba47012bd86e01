// A whole cluster in this process as the engine behind a gateway.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/local_cluster.hpp"
#include "actors/membership.hpp"
#include "actors/request_engine.hpp"

namespace troupe::services {

/// There before its model is loaded, so that clients who come early hear why they have to wait.
/// *Threading*: any; `report`, `loads` and `roles` block until the roles have answered.
class LocalEngine final : public actors::RequestEngine {
 public:
  /// `shards`: of which only the numbers of shards count; `experts`: of the model, routed.
  LocalEngine(std::uint64_t numerics_id, const actors::ClusterSettings& shards,
              std::int64_t experts)
      : shards_(shards), experts_(experts), numerics_id_(numerics_id) {}

  /// The model is loaded: serves from now on. Once.
  void begin(std::unique_ptr<actors::LocalCluster> cluster);

  Expected<actors::RequestId> submit(actors::GenerateRequest request,
                                     std::shared_ptr<actors::RequestListener> listener) override;
  void cancel(actors::RequestId request) override;
  actors::Readiness readiness() const override;
  std::uint64_t numerics_id() const override { return numerics_id_; }

  /// Everything 0 before `begin`.
  actors::ClusterStatus status() const;
  actors::RoleStatuses roles() const;
  /// Of the placement, which stays as it is once it is published; 0 before that. Blocks as `report`
  /// does until it has been seen.
  std::uint64_t epoch() const;
  /// Shown of every role.
  void set_ops_address(std::string address) { ops_address_ = std::move(address); }
  void set_version(std::string version) { version_ = std::move(version); }
  /// As a director would: every role of this process, all of them loading or all of them active.
  actors::ClusterReport report() const;
  /// What each expert shard has computed; empty before `begin`.
  std::vector<actors::ExpertLoad> loads() const;

 private:
  std::unique_ptr<actors::LocalCluster> cluster_;
  std::atomic<actors::LocalCluster*> running_{nullptr};  // cluster_, for all threads
  actors::ClusterSettings shards_;
  std::int64_t experts_;
  std::uint64_t numerics_id_;
  mutable std::atomic<std::uint64_t> epoch_{0};  // as seen
  std::string ops_address_;
  std::string version_;  // of the program
};

}  // namespace troupe::services
