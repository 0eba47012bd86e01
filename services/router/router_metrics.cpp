// From the status of a router to its metrics.
#include "services/router/router_metrics.hpp"

#include <utility>

#include "services/runtime/metrics/transports.hpp"

namespace troupe::services {

RouterMetrics::RouterMetrics(MetricBook& book, std::string model, std::int64_t ranks,
                             const model::ModelConfig& config)
    : book_(book), model_(std::move(model)), rank_last_(static_cast<std::size_t>(ranks)) {
  book_.declare(kRouterMetrics);
  for (int layer = 0; layer < config.num_layers; ++layer) is_moe_.push_back(config.is_moe(layer));
  for (const auto transport : kTransports) take({}, std::string(transport));
}

void RouterMetrics::take(const actors::RouterStatus& status, const std::string& transport) {
  const auto add = [this](const MetricSpec& metric, LabelValues labels,
                          Growth<std::int64_t>& growth, std::int64_t total) {
    book_.add(metric, labels, static_cast<double>(growth.take(total)));
  };
  add(kRouterDispatchedTokens, {model_}, dispatched_, status.pairs_sent_total);
  add(kRouterDroppedTokens, {model_, "failed"}, dropped_, status.rows_failed_total);
  add(kRouterRetries, {model_, "not_resident"}, retries_, status.not_resident_total);
  add(kRouterFailovers, {model_, "lost"}, failovers_, status.failovers_total);
  book_.observe(kRouterDispatchDuration, {model_, transport},
                dispatch_.take(status.dispatch_seconds));
  book_.observe(kRouterCombineDuration, {model_, transport}, combine_.take(status.combine_seconds));
  book_.observe(kRouterWaitDuration, {model_}, wait_.take(status.wait_seconds));
  for (std::size_t rank = 0; rank < rank_last_.size(); ++rank)
    add(kRouterRankLast, {std::to_string(rank)}, rank_last_[rank],
        rank < status.rank_last_total.size() ? status.rank_last_total[rank] : 0);
  // Several routers of one process share the gauge.
  const auto items_open = std::exchange(items_open_, status.items_open);
  book_.add(kRouterItemsOpen, {model_}, static_cast<double>(status.items_open - items_open));
  for (std::size_t layer = 0; layer < is_moe_.size(); ++layer)
    if (is_moe_[layer])
      book_.set(kExpertUncovered, {model_, std::to_string(layer)},
                layer < status.uncovered.size() ? static_cast<double>(status.uncovered[layer]) : 0);
}

}  // namespace troupe::services
