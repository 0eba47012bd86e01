// The metrics of an expert service.
#pragma once
#include <string>
#include <vector>

#include "actors/expert/expert_role.hpp"
#include "model/config/model_config.hpp"
#include "model/load_progress.hpp"
#include "services/runtime/metrics/metric_book.hpp"

namespace troupe::services {

inline constexpr MetricSpec kExpertRankTokens{
    "troupe_expert_rank_tokens_total", MetricKind::counter, "model, layer, rank",
    "(row, expert) pairs computed; over all ranks it grows as what the routers dispatched. In the "
    "last layer only rows that need logits go to experts: of a prompt one, unless its logits are "
    "asked for"};
inline constexpr MetricSpec kExpertQueueDepth{"troupe_expert_queue_depth", MetricKind::gauge,
                                              "rank", "Frames waiting or being computed"};
inline constexpr MetricSpec kExpertQueueTokens{"troupe_expert_queue_tokens", MetricKind::gauge,
                                               "rank", "Rows waiting or being computed"};
inline constexpr MetricSpec kExpertOverloaded{
    "troupe_expert_overloaded_total", MetricKind::counter, "rank",
    "Frames refused because the queue was full; must stay 0"};
inline constexpr MetricSpec kExpertBusySeconds{"troupe_expert_busy_seconds_total",
                                               MetricKind::counter, "rank",
                                               "Time spent computing; its rate is utilisation"};
inline constexpr MetricSpec kExpertComputeDuration{"troupe_expert_compute_duration_seconds",
                                                   MetricKind::histogram, "rank",
                                                   "Computing one frame", kMicroBounds};
inline constexpr MetricSpec kExpertBatchTokens{"troupe_expert_batch_tokens", MetricKind::histogram,
                                               "rank", "(row, expert) pairs of a frame",
                                               kBatchBounds};
inline constexpr MetricSpec kExpertWeightsBytes{"troupe_expert_weights_bytes", MetricKind::gauge,
                                                "rank, state",
                                                "Weights of this rank; state: resident, loading"};
inline constexpr MetricSpec kExpertLoadProgress{"troupe_expert_weights_load_progress_ratio",
                                                MetricKind::gauge, "rank",
                                                "Share of the weights that is loaded, 0 to 1"};
inline constexpr const MetricSpec* kExpertMetrics[]{
    &kExpertRankTokens,  &kExpertQueueDepth,   &kExpertQueueTokens,
    &kExpertOverloaded,  &kExpertBusySeconds,  &kExpertComputeDuration,
    &kExpertBatchTokens, &kExpertWeightsBytes, &kExpertLoadProgress};

/// Keeps them current. *Threading*: one caller at a time.
class ExpertMetrics {
 public:
  /// Creates every label set at 0. `book` must outlive this.
  ExpertMetrics(MetricBook& book, std::string model, std::uint32_t rank,
                const model::ModelConfig& config);
  void take(const actors::ExpertStatus& status);
  void take_load(const model::LoadProgress::Snapshot& progress);

 private:
  MetricBook& book_;
  std::string model_;
  std::string rank_;
  std::int64_t experts_;
  std::vector<bool> is_moe_;                  // [layers]
  std::vector<Growth<std::int64_t>> tokens_;  // [layers]
  Growth<std::int64_t> overloaded_;
  Growth<double> busy_;
  Growth<Histogram> compute_;
  Growth<Histogram> batch_;
};

}  // namespace troupe::services
