// Prompts and generations of many sequences at once through a running engine, with a stopwatch.
#pragma once
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "actors/request_engine.hpp"
#include "core/expected.hpp"

namespace troupe::services {

/// One row of llama-bench's table: so many tokens of each of so many sequences.
struct ModelTest {
  enum class Kind : std::uint8_t { prompt, generate };
  Kind kind = Kind::prompt;
  std::int64_t tokens = 0;     // computed per sequence
  std::int64_t sequences = 1;  // at once

  /// "pp512", "tg128".
  std::string name() const;
  std::int64_t tokens_total() const { return tokens * sequences; }
  /// Positions that the sequences need together.
  std::int64_t kv_tokens() const;
};

/// Greedy, end of text ignored, random ids below `vocabulary`. A prompt test computes its tokens
/// and draws none; a generation test begins with one id and draws `tokens`, so that both compute
/// exactly `tokens` rows of each sequence.
std::vector<actors::GenerateRequest> requests_of(const ModelTest& test, std::int64_t vocabulary,
                                                 std::mt19937_64& random);

/// Submits all requests at once; the seconds from then until the last has finished.
/// *Errors*: that of the first request that failed; `cancelled` when `stop` said so, after every
/// request has ended. *Threading*: blocks.
Expected<double> seconds_of(actors::RequestEngine& engine,
                            std::vector<actors::GenerateRequest> requests,
                            const std::function<bool()>& stop);

/// Mean and sample standard deviation (0 for a single value), as llama-bench shows them.
struct MeanDeviation {
  double mean = 0;
  double deviation = 0;
};
MeanDeviation mean_deviation(const std::vector<double>& values);

}  // namespace troupe::services
