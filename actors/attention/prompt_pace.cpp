// Prompt rows of a step from what the rows of earlier steps took.
#include "actors/attention/prompt_pace.hpp"

#include <algorithm>

#include "actors/attention/batch_scheduler.hpp"

namespace troupe::actors {
namespace {

/// Of the newest sample: rows get slower along a long prompt, by little from step to step.
constexpr double kWeight = 0.5;

double mix(double old, double sample) { return old + kWeight * (sample - old); }

}  // namespace

PromptPace::PromptPace(std::chrono::milliseconds budget)
    : budget_(std::chrono::duration<double>(budget).count()) {}

std::int64_t PromptPace::rows_max() const {
  if (budget_ <= 0) return BatchScheduler::kNoLimit;
  if (!seconds_a_row_) return kRowsUnmeasured;
  const double rows = budget_ / std::max(*seconds_a_row_, 1e-9);
  return std::max(kRowsMin, static_cast<std::int64_t>(std::min(rows, 1e9)));
}

void PromptPace::observe(std::int64_t decode_rows, std::int64_t prompt_rows, double seconds) {
  const double mean = seconds / static_cast<double>(decode_rows + prompt_rows);
  if (prompt_rows == 0) {
    decode_row_ = decode_row_ ? mix(*decode_row_, mean) : mean;
    return;
  }
  // A prompt row takes as long as a row of its step, or longer: far along a prompt it attends more.
  const double decoding = static_cast<double>(decode_rows) * decode_row_.value_or(mean);
  const double rest = (seconds - decoding) / static_cast<double>(prompt_rows);
  const double sample = std::max(mean, rest);
  seconds_a_row_ = seconds_a_row_ ? mix(*seconds_a_row_, sample) : sample;
}

}  // namespace troupe::actors
