// The metrics of a router.
#pragma once
#include <string>
#include <vector>

#include "actors/router/router_role.hpp"
#include "model/config/model_config.hpp"
#include "services/runtime/metrics/metric_book.hpp"

namespace troupe::services {

inline constexpr MetricSpec kRouterDispatchedTokens{
    "troupe_router_dispatched_tokens_total", MetricKind::counter, "model",
    "(row, expert) pairs sent to expert services; again for those asked again"};
inline constexpr MetricSpec kRouterDispatchDuration{
    "troupe_router_dispatch_duration_seconds", MetricKind::histogram, "model, transport",
    "Writing and posting one frame to an expert service", kMicroBounds};
inline constexpr MetricSpec kRouterCombineDuration{
    "troupe_router_combine_duration_seconds", MetricKind::histogram, "model, transport",
    "Combining the replies of a work item once all are there", kMicroBounds};
inline constexpr MetricSpec kRouterWaitDuration{
    "troupe_router_wait_duration_seconds", MetricKind::histogram, "model",
    "From the first frame of a work item to the reply of its slowest rank", kMicroBounds};
inline constexpr MetricSpec kRouterRankLast{"troupe_router_rank_last_total", MetricKind::counter,
                                            "rank", "How often this rank was the last to answer"};
inline constexpr MetricSpec kRouterDroppedTokens{
    "troupe_router_dropped_tokens_total", MetricKind::counter, "model, reason",
    "Rows answered with a failure; must stay 0; reason: failed"};
inline constexpr MetricSpec kRouterRetries{
    "troupe_router_retries_total", MetricKind::counter, "model, reason",
    "Answers that made the router ask again; reason: not_resident"};
inline constexpr MetricSpec kRouterFailovers{
    "troupe_router_failovers_total", MetricKind::counter, "model, reason",
    "Frames that a lost expert service had not answered, asked again of who holds the experts now; "
    "reason: lost. The same of routers: troupe_attention_work_resent_total"};
inline constexpr MetricSpec kRouterItemsOpen{"troupe_router_items_open", MetricKind::gauge, "model",
                                             "Work items being served"};
inline constexpr MetricSpec kExpertUncovered{"troupe_expert_uncovered", MetricKind::gauge,
                                             "model, layer",
                                             "Experts that no live rank holds, as this router "
                                             "sees it"};
inline constexpr const MetricSpec* kRouterMetrics[]{
    &kRouterDispatchedTokens, &kRouterDispatchDuration, &kRouterCombineDuration,
    &kRouterWaitDuration,     &kRouterRankLast,         &kRouterDroppedTokens,
    &kRouterRetries,          &kRouterFailovers,        &kRouterItemsOpen,
    &kExpertUncovered};

/// Keeps them current; routers of one process each have one, over the same book.
/// *Threading*: one caller at a time.
class RouterMetrics {
 public:
  /// Creates every label set at 0. `book` must outlive this.
  RouterMetrics(MetricBook& book, std::string model, std::int64_t ranks,
                const model::ModelConfig& config);
  /// `transport`: what carries rows to the expert services, of kTransports.
  void take(const actors::RouterStatus& status, const std::string& transport);

 private:
  MetricBook& book_;
  std::string model_;
  std::vector<bool> is_moe_;                     // [layers]
  std::vector<Growth<std::int64_t>> rank_last_;  // [ranks]
  std::int64_t items_open_ = 0;
  Growth<std::int64_t> dispatched_;
  Growth<std::int64_t> dropped_;
  Growth<std::int64_t> retries_;
  Growth<std::int64_t> failovers_;
  Growth<Histogram> dispatch_;
  Growth<Histogram> combine_;
  Growth<Histogram> wait_;
};

}  // namespace troupe::services
