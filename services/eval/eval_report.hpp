// What `eval perplexity` and `eval kl` found, as text for people and JSON for programs.
#pragma once
#include <cstdint>
#include <string>

#include "services/eval/logit_scores.hpp"

namespace troupe::services {

/// What was scored.
struct EvalSpan {
  std::int64_t windows = 0;
  std::int64_t window_length = 0;  // ids, BOS included
};

struct PerplexityResult {
  std::string model;
  EvalSpan span;
  RunningMean surprise;  // -log of the probability of each scored id, nats
};

struct KlResult {
  std::string model, reference;  // the tested one, and the one it is measured against
  std::string mode, reference_mode;
  std::string kv_cache, reference_kv_cache;
  EvalSpan span;
  RunningMean kl;                            // nats for each scored position
  std::int64_t same_top = 0;                 // positions whose best id is the same
  RunningMean surprise, reference_surprise;  // as above
};

/// exp of the mean surprise, and its standard error to first order.
struct Perplexity {
  double value = 1;
  double error = 0;
};
Perplexity perplexity_of(const RunningMean& surprise);

std::string perplexity_text(const PerplexityResult& result);
std::string perplexity_json(const PerplexityResult& result);
std::string kl_text(const KlResult& result);
std::string kl_json(const KlResult& result);

}  // namespace troupe::services
