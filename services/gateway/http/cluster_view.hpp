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
  ClusterView(const ServedModel& model, ClusterSource source,
              std::function<Clock::time_point()> clock = Clock::now)
      : model_(model), source_(std::move(source)), clock_(std::move(clock)) {}

  /// The body of the reply, or why there is none; the source said so at most half a second ago.
  /// Blocks as the source does: however many look, the cluster is asked twice a second, and who
  /// comes while it is asked gets what it says then.
  Answered<std::string> text();

 private:
  Answered<std::string> ask() const;

  const ServedModel& model_;
  const ClusterSource source_;
  const std::function<Clock::time_point()> clock_;
  std::mutex mutex_;
  std::optional<Answered<std::string>> answer_;
  Clock::time_point answered_{};
};

}  // namespace troupe::services::http
