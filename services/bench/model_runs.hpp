// Prompts and generations of many sequences at once through a running engine, with a stopwatch.
#pragma once
#include <cstdint>
#include <functional>
#include <random>
#include <span>
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
  std::int64_t depth = 0;      // cached positions before them, whole pages

  /// "pp512", "tg128", "tg128 @ d8192".
  std::string name() const;
  std::int64_t tokens_total() const { return tokens * sequences; }
  /// Positions of a cache in which all sequences run at once: theirs, and the pages that the
  /// scheduler keeps free beside them. With a depth also those that the repetition before has left
  /// behind it, so that nothing of the depth gives way to them.
  std::int64_t kv_tokens() const;
};

/// Greedy, end of text ignored, random ids below `vocabulary`. A prompt test computes its tokens
/// and draws none; a generation test begins with one id and draws `tokens`, so that both compute
/// exactly `tokens` rows of each sequence. These ids follow those of `filled`, one list of
/// `test.depth` ids for each sequence, that the engine has computed before.
std::vector<actors::GenerateRequest> requests_of(const ModelTest& test, std::int64_t vocabulary,
                                                 std::mt19937_64& random,
                                                 std::span<const std::vector<std::int32_t>> filled);

/// Submits all requests at once; the seconds from then until the last has finished.
/// *Errors*: that of the first request that failed; `cancelled` when `stop` said so, after every
/// request has ended; `resource_exhausted` when fewer than `cached` tokens of a prompt came from
/// the prefix cache. *Threading*: blocks.
Expected<double> seconds_of(actors::RequestEngine& engine,
                            std::vector<actors::GenerateRequest> requests,
                            const std::function<bool()>& stop, std::int64_t cached = 0);

/// Mean and sample standard deviation (0 for a single value), as llama-bench shows them.
struct MeanDeviation {
  double mean = 0;
  double deviation = 0;
};
MeanDeviation mean_deviation(const std::vector<double>& values);

}  // namespace troupe::services
