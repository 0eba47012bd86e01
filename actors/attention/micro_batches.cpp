// Cutting and choosing.
#include "actors/attention/micro_batches.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "core/check.hpp"

namespace troupe::actors {

std::pair<StepPlan, StepPlan> cut_in_two(StepPlan plan) {
  TROUPE_CHECK(plan.parts.size() >= 2, "a step is cut between two sequences");
  const std::int64_t rows = plan.batch.rows();
  const auto unevenness = [&](const StepPart& first_of_second) {
    return std::abs(2 * first_of_second.first_row - rows);
  };
  const auto at = std::min_element(
      plan.parts.begin() + 1, plan.parts.end(),
      [&](const StepPart& a, const StepPart& b) { return unevenness(a) < unevenness(b); });
  const auto first_row = at->first_row;
  const auto part = at - plan.parts.begin();
  StepPlan second;
  second.parts.assign(at, plan.parts.end());
  for (auto& moved : second.parts) moved.first_row -= first_row;
  auto& slices = plan.batch.slices;
  second.batch.slices.assign(std::make_move_iterator(slices.begin() + part),
                             std::make_move_iterator(slices.end()));
  auto& tokens = plan.batch.tokens;
  second.batch.tokens.assign(tokens.begin() + first_row, tokens.end());
  plan.parts.erase(at, plan.parts.end());
  slices.resize(static_cast<std::size_t>(part));
  tokens.resize(static_cast<std::size_t>(first_row));
  return {std::move(plan), std::move(second)};
}

void MicroBatchChoice::Mean::add(double sample) {
  constexpr int kMemory = 16;
  count = std::min(count + 1, kMemory);
  value += (sample - value) / count;
}

MicroBatchChoice::Record& MicroBatchChoice::record(const StepSize& size) {
  auto& of_phase = records_[size.prefill ? 1 : 0];
  const auto power = std::bit_width(static_cast<std::uint64_t>(size.rows));
  return of_phase[std::min<std::size_t>(power, of_phase.size() - 1)];
}

bool MicroBatchChoice::cut(const StepSize& size) {
  if (mode_ == MicroBatching::never || size.parts < 2) return false;
  if (mode_ == MicroBatching::always) return true;
  auto& known = record(size);
  if (known.whole.count < kSamples) return false;
  if (known.waited.value < kWaitShareMin * known.whole.value) return false;
  const bool pays =
      known.halves.count > 0 && known.halves.value < (1 - kGainMin) * known.whole.value;
  if (pays != known.halves_pay) known.interval = kTrialEvery;
  known.halves_pay = pays;
  if (known.trial_left > 0) {
    --known.trial_left;
    return !pays;
  }
  if (--known.until_trial > 0) return pays;
  known.interval = std::min(2 * known.interval, kTrialEveryMax);
  known.until_trial = known.interval;
  known.trial_left = kTrialSteps - 1;
  return !pays;
}

void MicroBatchChoice::observe(const StepSize& size, bool cut, double seconds, double waited) {
  auto& known = record(size);
  (cut ? known.halves : known.whole).add(seconds);
  if (!cut) known.waited.add(waited);
}

}  // namespace troupe::actors
