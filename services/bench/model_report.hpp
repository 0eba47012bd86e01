// Tokens per second of a model in llama-bench's table, and as JSON.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/step_work.hpp"
#include "services/bench/limits.hpp"
#include "services/bench/model_runs.hpp"

namespace troupe::services {

/// What was measured.
struct ModelRun {
  std::string model;               // name of the directory
  std::uint64_t weight_bytes = 0;  // of all tensors in the files
  model::ParameterCounts parameters;
  std::string mode;  // "bf16"
  std::string kv_cache = "auto";
  std::uint64_t seed = 0;
};

struct ModelResult {
  ModelTest test;
  MachineLimits limits;             // with the test's threads
  model::Work work;                 // of all sequences together
  std::vector<double> repetitions;  // seconds each

  std::vector<double> tokens_per_s() const;
  /// 1e9 per second of the work's bytes and operations, at the mean of tokens_per_s.
  double gb_per_s() const;
  /// The part of gb_per_s that is the latent cache.
  double cache_gb_per_s() const;
  double gflops() const;
  /// The time its operations take at the peaks of the limits, each kind at its own, over the time
  /// they took; 0 where a peak is unknown.
  double peak_share() const;
};

std::string model_table_head(const ModelRun& run);
std::string model_table_line(const ModelRun& run, const ModelResult& result);
/// *Units*: bytes, 1e9 per second; shares as fractions, null where a limit is unknown.
std::string model_json(const ModelRun& run, const std::vector<ModelResult>& results);

}  // namespace troupe::services
