// From the status of an attention shard to its metrics.
#include "services/attention/attention_metrics.hpp"

namespace troupe::services {

AttentionMetrics::AttentionMetrics(MetricBook& book, std::string model, std::uint32_t shard)
    : book_(book), model_(std::move(model)), shard_(std::to_string(shard)) {
  book_.declare(kAttentionMetrics);
  take({});
}

void AttentionMetrics::take_phase(const char* name, Phase& phase,
                                  const actors::StepCounts& counts) {
  book_.observe(kAttentionStepDuration, {model_, shard_, name},
                phase.step.take(counts.step_seconds));
  book_.observe(kAttentionBatchTokens, {model_, shard_, name},
                phase.batch.take(counts.batch_tokens));
}

void AttentionMetrics::take_stages(const actors::StageSeconds& seconds) {
  const auto add = [this](const char* stage, Growth<double>& growth, double total) {
    book_.add(kAttentionStageSeconds, {model_, shard_, stage}, growth.take(total));
  };
  add("attention", attention_, seconds.attention);
  add("shared_expert", shared_expert_, seconds.shared_expert);
  add("wait_experts", wait_experts_, seconds.wait_experts);
  add("head", head_, seconds.head);
  add("sample", sample_, seconds.sample);
}

void AttentionMetrics::take(const actors::AttentionStatus& status) {
  const LabelValues own{model_, shard_};
  book_.set(kAttentionRunning, own, static_cast<double>(status.running));
  book_.set(kAttentionWaiting, own, static_cast<double>(status.waiting));
  book_.set(kAttentionKvPages, {model_, shard_, "used"}, static_cast<double>(status.kv_pages_used));
  book_.set(kAttentionKvPages, {model_, shard_, "cached"},
            static_cast<double>(status.kv_pages_cached));
  book_.set(
      kAttentionKvPages, {model_, shard_, "free"},
      static_cast<double>(status.kv_pages_max - status.kv_pages_used - status.kv_pages_cached));
  book_.add(kAttentionPreemptions, own,
            static_cast<double>(preemptions_.take(status.preemptions_total)));
  book_.add(kAttentionRows, own, static_cast<double>(rows_.take(status.rows_total)));
  book_.add(kAttentionCutSteps, own, static_cast<double>(cut_steps_.take(status.cut_steps_total)));
  book_.add(kAttentionResent, own,
            static_cast<double>(resent_.take(status.work_items_resent_total)));
  take_phase("prefill", prefill_, status.prefill);
  take_phase("decode", decode_, status.decode);
  take_stages(status.stage_seconds_total);
}

}  // namespace troupe::services
