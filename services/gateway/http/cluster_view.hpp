// GET /cluster/status: the cluster for whoever looks at it, hosts and processes left out.
#pragma once
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "actors/membership.hpp"
#include "services/gateway/api_error.hpp"
#include "services/gateway/served_model.hpp"

namespace troupe::services::http {

/// Whoever knows the cluster. Both may block for seconds and are never called at once.
struct ClusterSource {
  std::function<Expected<actors::ClusterReport>()> report = {};
  std::function<Expected<std::vector<actors::ExpertLoad>>()> loads = {};
};

/// *Threading*: any.
class ClusterView {
 public:
  using Clock = std::chrono::steady_clock;

  /// `model` must outlive it.
  ClusterView(const ServedModel& model, ClusterSource source)
      : model_(model), source_(std::move(source)) {}

  /// The body of the reply, or why there is none; at most half a second old. Blocks as the source
  /// does: however many look, the cluster is asked twice a second.
  Answered<std::string> text(Clock::time_point now = Clock::now());

 private:
  Answered<std::string> ask() const;

  const ServedModel& model_;
  const ClusterSource source_;
  std::mutex mutex_;
  std::optional<Answered<std::string>> answer_;
  Clock::time_point asked_{};
};

}  // namespace troupe::services::http
