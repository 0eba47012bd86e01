// From the status of an expert shard to its metrics.
#include "services/expert/expert_metrics.hpp"

#include <numeric>

namespace troupe::services {

ExpertMetrics::ExpertMetrics(MetricBook& book, std::string model, std::uint32_t rank,
                             const model::ModelConfig& config)
    : book_(book),
      model_(std::move(model)),
      rank_(std::to_string(rank)),
      experts_(config.routed_experts),
      tokens_(static_cast<std::size_t>(config.num_layers)) {
  book_.declare(kExpertMetrics);
  for (int layer = 0; layer < config.num_layers; ++layer) is_moe_.push_back(config.is_moe(layer));
  take({});
  take_load({});
}

void ExpertMetrics::take(const actors::ExpertStatus& status) {
  for (std::size_t layer = 0; layer < is_moe_.size(); ++layer) {
    if (!is_moe_[layer]) continue;
    std::int64_t total = 0;
    if (!status.tokens.empty()) {
      const auto first = status.tokens.begin() + static_cast<std::int64_t>(layer) * experts_;
      total = std::accumulate(first, first + experts_, std::int64_t{0});
    }
    book_.add(kExpertRankTokens, {model_, std::to_string(layer), rank_},
              static_cast<double>(tokens_[layer].take(total)));
  }
  book_.set(kExpertQueueDepth, {rank_}, static_cast<double>(status.queued_frames));
  book_.set(kExpertQueueTokens, {rank_}, static_cast<double>(status.queued_rows));
  book_.add(kExpertOverloaded, {rank_},
            static_cast<double>(overloaded_.take(status.overloaded_total)));
  book_.add(kExpertBusySeconds, {rank_}, busy_.take(status.busy_seconds_total));
  book_.observe(kExpertComputeDuration, {rank_}, compute_.take(status.compute_seconds));
  book_.observe(kExpertBatchTokens, {rank_}, batch_.take(status.batch_tokens));
}

void ExpertMetrics::take_load(const model::LoadProgress::Snapshot& progress) {
  const auto done = static_cast<double>(progress.bytes_done);
  const auto total = static_cast<double>(progress.bytes_total);
  book_.set(kExpertLoadProgress, {rank_}, total > 0 ? done / total : 0);
  book_.set(kExpertWeightsBytes, {rank_, "resident"}, done);
  book_.set(kExpertWeightsBytes, {rank_, "loading"}, total - done);
}

}  // namespace troupe::services
