// How many prompt rows a step may have while other sequences decode.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>

namespace troupe::actors {

/// Keeps the gap between two tokens of a decoding sequence short while prompts are computed: a step
/// with prompt rows takes no longer than a budget, nor than 64 rows of prompts take alone: on a
/// machine that is quick for its model no step stands out. Decode rows come first, prompts have
/// what these leave of it, but always a third as long as these take. So the more sequences decode,
/// the slower others join them, and their number settles where a step takes its budget: under
/// overload requests wait for their first token instead of slowing down every later one.
///
/// What a row takes is what a step with prompts took beyond one of decode rows alone; so now and
/// then there is one of these. In between decode rows may have become more: their time then counts
/// as the prompts', and the step still comes to its budget. Which rows share a step never changes a
/// bit of what they compute (I1). *Threading*: one thread.
class PromptPace {
 public:
  static constexpr std::int64_t kRowsEven = 64;        // take as long as a step does at most
  static constexpr std::int64_t kRowsUnmeasured = 64;  // before any step had prompt rows
  static constexpr std::int64_t kRowsMin = 16;         // whatever they take: a prompt gets on
  static constexpr double kOfDecodeMin = 1.0 / 3;      // of the time of decode rows, for prompts
  static constexpr int kMixedSteps = 16;               // from one step of decode rows to the next

  /// Of a step; zero: no limit.
  explicit PromptPace(std::chrono::milliseconds budget);

  /// Of the next step, if a sequence decodes in it; 0: decode rows alone.
  /// BatchScheduler::kNoLimit where there is no budget.
  std::int64_t rows_max() const;
  /// What a step of so many rows took, at least one. Not for steps that failed or were held up.
  void observe(std::int64_t decode_rows, std::int64_t prompt_rows, double seconds);

 private:
  double budget_;                        // seconds
  int mixed_ = kMixedSteps;              // steps since the last of decode rows alone
  double decode_step_ = 0;               // seconds of that one
  std::optional<double> seconds_a_row_;  // of prompts
};

}  // namespace troupe::actors
