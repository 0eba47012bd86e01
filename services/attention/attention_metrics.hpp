// The metrics of an attention shard.
#pragma once
#include <string>

#include "actors/attention/attention_role.hpp"
#include "services/runtime/metrics/metric_book.hpp"

namespace troupe::services {

inline constexpr MetricSpec kAttentionRunning{"troupe_attention_sequences_running",
                                              MetricKind::gauge, "model, shard",
                                              "Sequences in the batch"};
inline constexpr MetricSpec kAttentionWaiting{"troupe_attention_sequences_waiting",
                                              MetricKind::gauge, "model, shard",
                                              "Requests in the queue"};
inline constexpr MetricSpec kAttentionBatchTokens{
    "troupe_attention_batch_tokens", MetricKind::histogram, "model, shard, phase",
    "Rows of a step; phase: prefill (a prompt has rows in it), decode", kBatchBounds};
inline constexpr MetricSpec kAttentionKvPages{
    "troupe_attention_kv_pages", MetricKind::gauge, "model, shard, state",
    "Pages of the KV cache; state: used, cached (kept for prompts that begin alike), free"};
inline constexpr MetricSpec kAttentionPreemptions{
    "troupe_attention_preemptions_total", MetricKind::counter, "model, shard",
    "Sequences that gave their pages or place back, to be computed again later"};
inline constexpr MetricSpec kAttentionRows{"troupe_attention_rows_total", MetricKind::counter,
                                           "model, shard", "Rows computed"};
inline constexpr MetricSpec kAttentionStepDuration{
    "troupe_attention_step_duration_seconds", MetricKind::histogram, "model, shard, phase",
    "From the begin of a step to its tokens", kLatencyBounds};
inline constexpr MetricSpec kAttentionStageSeconds{
    "troupe_attention_stage_seconds_total", MetricKind::counter, "model, shard, stage",
    "Where steps spend their time; stage: attention, shared_expert, wait_experts, head, sample"};
inline constexpr MetricSpec kAttentionCutSteps{
    "troupe_attention_cut_steps_total", MetricKind::counter, "model, shard",
    "Steps computed as two micro-batches that take turns"};
inline constexpr MetricSpec kAttentionResent{
    "troupe_attention_work_resent_total", MetricKind::counter, "model, shard",
    "Work items sent to another router after a loss or a silence"};
inline constexpr const MetricSpec* kAttentionMetrics[]{
    &kAttentionRunning,     &kAttentionWaiting,      &kAttentionBatchTokens,  &kAttentionKvPages,
    &kAttentionRows,        &kAttentionStepDuration, &kAttentionStageSeconds, &kAttentionResent,
    &kAttentionPreemptions, &kAttentionCutSteps};

/// Keeps them current. *Threading*: one caller at a time.
class AttentionMetrics {
 public:
  /// Creates every label set at 0. `book` must outlive this.
  AttentionMetrics(MetricBook& book, std::string model, std::uint32_t shard);
  void take(const actors::AttentionStatus& status);

 private:
  struct Phase {
    Growth<Histogram> step;
    Growth<Histogram> batch;
  };
  void take_phase(const char* name, Phase& phase, const actors::StepCounts& counts);
  void take_stages(const actors::StageSeconds& seconds);

  MetricBook& book_;
  std::string model_;
  std::string shard_;
  Growth<std::int64_t> rows_;
  Growth<std::int64_t> resent_;
  Growth<std::int64_t> cut_steps_;
  Growth<std::int64_t> preemptions_;
  Phase prefill_;
  Phase decode_;
  Growth<double> attention_;
  Growth<double> shared_expert_;
  Growth<double> wait_experts_;
  Growth<double> head_;
  Growth<double> sample_;
};

}  // namespace troupe::services
