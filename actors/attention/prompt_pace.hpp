// How many prompt rows a step may have while other sequences decode.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>

namespace troupe::actors {

/// Keeps the gap between two tokens of a decoding sequence short while prompts are computed: the
/// prompt rows of a step take no longer than a budget, by what rows took in the steps before. Which
/// rows share a step never changes a bit of what they compute (I1). *Threading*: one thread.
class PromptPace {
 public:
  static constexpr std::int64_t kRowsUnmeasured = 64;  // before any step had prompt rows
  static constexpr std::int64_t kRowsMin = 16;         // whatever they take: a prompt gets on

  /// Zero: no limit.
  explicit PromptPace(std::chrono::milliseconds budget);

  /// Of a step in which a sequence decodes; BatchScheduler::kNoLimit where there is no budget.
  std::int64_t rows_max() const;
  /// What a step of so many rows took, at least one.
  void observe(std::int64_t decode_rows, std::int64_t prompt_rows, double seconds);

 private:
  double budget_;                        // seconds
  std::optional<double> decode_row_;     // seconds, in steps without prompts
  std::optional<double> seconds_a_row_;  // of prompts
};

}  // namespace troupe::actors
