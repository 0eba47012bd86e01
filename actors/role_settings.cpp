// Role settings from cluster settings.
#include "actors/role_settings.hpp"

#include <algorithm>
#include <string>

namespace troupe::actors {
namespace {

std::int64_t pages_max(const ClusterSettings& settings, const model::ModelConfig& config) {
  // Unset: the longest sequence the model allows, 16 times; memory is taken as pages are used.
  const std::int64_t tokens = settings.kv_tokens_max > 0
                                  ? settings.kv_tokens_max
                                  : std::int64_t{16} * config.max_position_embeddings;
  return std::max<std::int64_t>(1, model::KvPool::pages_for(tokens));
}

/// Without a limit the cache would fill the machine: what is kept for later is then one of the 16
/// sequences that the default makes room for.
SequencePages::Settings page_settings(const ClusterSettings& settings, std::int64_t pages_max) {
  return {settings.prefix_cache, settings.kv_tokens_max > 0 ? pages_max : pages_max / 16};
}

}  // namespace

std::int64_t frame_rows_max(const model::ModelConfig& config, model::Numerics numerics) {
  const auto width = static_cast<std::uint32_t>(config.hidden_size);
  const std::size_t pair =
      proto::row_block_bytes(1, width, wire_dtype(numerics.row_dtype())) + sizeof(proto::ReplyPair);
  constexpr std::size_t kRest = 4096;  // header, body, alignment
  const auto pairs =
      std::min<std::size_t>((proto::kFrameBytesMax - kRest) / pair, proto::kPairsMax);
  const auto rows = static_cast<std::int64_t>(pairs) / config.experts_per_token;
  return std::clamp<std::int64_t>(rows, 1, proto::kRowsMax);
}

Expected<void> check_engine(const ClusterSettings& settings) {
  const auto refuse = [](std::string what) {
    return unexpected(Errc::invalid_argument, std::move(what));
  };
  if (settings.chunk < 1 || settings.step_rows_max < 1)
    return refuse("chunk and step_rows_max must be at least 1");
  if (settings.frame_rows_max < 1 || settings.frame_rows_max > proto::kRowsMax)
    return refuse("frame_rows_max must be 1 to " + std::to_string(proto::kRowsMax));
  if (settings.credits.prefill_rows < 1)
    return refuse("credits must leave prefill at least one row");
  return {};
}

ExpertSettings expert_settings(model::Numerics numerics) {
  ExpertSettings expert;
  expert.numerics = numerics;
  return expert;
}

RouterSettings router_settings(const ClusterSettings& settings, const model::ModelConfig& config) {
  RouterSettings router;
  router.numerics = settings.numerics();
  router.dispatch_rows_max =
      std::min(settings.frame_rows_max, frame_rows_max(config, router.numerics));
  router.hop_budget = settings.hop_budget;
  router.uncovered_budget = settings.uncovered_budget;
  return router;
}

AttentionSettings attention_settings(const ClusterSettings& settings,
                                     const model::Checkpoint& checkpoint) {
  const auto& config = checkpoint.config();
  AttentionSettings shard;
  shard.kv_pages_max = pages_max(settings, config);
  // A chunk larger than a step would never be computed in one: the step grows with it.
  const auto chunk = std::min<std::int64_t>(settings.chunk, config.max_position_embeddings);
  shard.batch.chunk = chunk;
  shard.batch.step_rows_max = std::max(settings.step_rows_max, chunk);
  shard.batch.running_max = settings.step_rows_max;
  shard.batch.waiting.waiting_max = settings.waiting_max;
  shard.batch.pages = page_settings(settings, shard.kv_pages_max);
  shard.tokenizer_directory = checkpoint.directory();
  shard.hop_budget = settings.hop_budget;
  shard.uncovered_budget = settings.uncovered_budget;
  shard.frame_rows_max =
      std::min(settings.frame_rows_max, frame_rows_max(config, settings.numerics()));
  shard.micro_batches = settings.micro_batches;
  shard.prompt_budget = settings.prompt_budget;
  return shard;
}

GatewaySettings gateway_settings(const ClusterSettings& settings, int shards) {
  GatewaySettings front;
  front.lease = front.silence_budget = settings.hop_budget;
  front.lease_period = std::min(front.lease_period, settings.hop_budget / 4);
  front.requests_max =
      std::max(front.requests_max, static_cast<std::size_t>(shards) * settings.waiting_max +
                                       static_cast<std::size_t>(settings.step_rows_max));
  return front;
}

}  // namespace troupe::actors
