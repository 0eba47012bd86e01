// Prompt rows of a step from what the rows of earlier steps took.
#include "actors/attention/prompt_pace.hpp"

#include <algorithm>

#include "actors/attention/batch_scheduler.hpp"

namespace troupe::actors {
namespace {

/// Of the newest sample: rows get slower along a long prompt, by little from step to step.
constexpr double kWeight = 0.5;

/// Of the mean row of its step, that a prompt row takes at least: this step may have been quicker
/// than that of decode rows alone.
constexpr double kShareMin = 1.0 / 16;

double mix(double old, double sample) { return old + kWeight * (sample - old); }

}  // namespace

PromptPace::PromptPace(std::chrono::milliseconds budget)
    : budget_(std::chrono::duration<double>(budget).count()) {}

std::int64_t PromptPace::rows_max() const {
  if (budget_ <= 0) return BatchScheduler::kNoLimit;
  if (mixed_ >= kMixedSteps) return 0;
  if (!seconds_a_row_) return kRowsUnmeasured;
  const double a_row = std::max(*seconds_a_row_, 1e-9);
  const double step = std::min(budget_, double{kRowsEven} * a_row);
  const double rows = std::max(step - decode_step_, kOfDecodeMin * decode_step_) / a_row;
  return std::max(kRowsMin, static_cast<std::int64_t>(std::min(rows, 1e9)));
}

void PromptPace::observe(std::int64_t decode_rows, std::int64_t prompt_rows, double seconds) {
  if (prompt_rows == 0) {
    decode_step_ = seconds;
    mixed_ = 0;
    return;
  }
  double beside = 0;
  if (decode_rows > 0) {
    ++mixed_;
    beside = decode_step_;
  }
  // A pass over the weights for a few rows says little of what one more of them takes.
  if (prompt_rows < kRowsMin && seconds_a_row_) return;
  const double least = kShareMin * seconds / static_cast<double>(decode_rows + prompt_rows);
  const double sample = std::max((seconds - beside) / static_cast<double>(prompt_rows), least);
  seconds_a_row_ = seconds_a_row_ ? mix(*seconds_a_row_, sample) : sample;
}

}  // namespace troupe::actors
