// What a load test found: percentiles and throughput, as a table and as JSON.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "services/load/bench_load.hpp"

namespace troupe::services {

struct Percentiles {
  std::size_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;
};

/// By nearest rank: always a value that was measured. All 0 for none.
Percentiles percentiles_of(std::vector<double> values);

struct LoadReport {
  std::int64_t completed = 0, failed = 0, not_sent = 0;
  std::map<std::string, std::int64_t> failures;          // by their words
  std::int64_t prompt_tokens = 0, generated_tokens = 0;  // of completed requests
  double duration_s = 0;
  Percentiles first_token_s, gap_s, per_token_s, whole_s;
};

LoadReport summarize(const LoadResult& result);

/// How it was measured, as shown above the figures and written to JSON: name and value.
using LoadSetting = std::pair<std::string, std::string>;

std::string load_table(const LoadReport& report, const std::vector<LoadSetting>& settings);
std::string load_json(const LoadReport& report, const std::vector<LoadSetting>& settings);

}  // namespace troupe::services
