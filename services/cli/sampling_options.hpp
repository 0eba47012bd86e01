// The sampling flags of run and chat, and how they combine with the model's own defaults.
#pragma once
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "model/sampler.hpp"
#include "services/prompt/generation_defaults.hpp"
#include "services/runtime/option_set.hpp"

namespace troupe::services {

/// State behind the flags.
struct SamplingOptions {
  std::optional<std::int64_t> max_tokens;
  std::optional<std::int64_t> min_tokens;
  std::optional<float> temperature, top_p, min_p;
  std::optional<float> presence_penalty, frequency_penalty, repetition_penalty;
  std::optional<std::int64_t> top_k;
  std::optional<std::uint64_t> seed;
  std::vector<std::pair<std::int32_t, float>> logit_bias;
  bool ignore_eos = false;

  void declare(OptionSet& options, std::int64_t max_tokens_default);
  /// Flags over `defaults`; stop ids are `eos_token_ids` and those of `defaults`. `seed` and
  /// `max_tokens` stay 0 when no flag gave them.
  model::SamplingParams merged(const GenerationDefaults& defaults,
                               const std::vector<int>& eos_token_ids) const;
};

}  // namespace troupe::services
