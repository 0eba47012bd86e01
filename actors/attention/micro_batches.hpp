// Two halves of a step that take turns: one computes while the other's rows are with the experts.
#pragma once
#include <array>
#include <cstdint>
#include <utility>

#include "actors/attention/micro_batching.hpp"
#include "actors/attention/sequence.hpp"

namespace troupe::actors {

/// What the choice between one and two micro-batches depends on.
struct StepSize {
  std::int64_t rows = 0;
  std::size_t parts = 0;  // sequences; a step of one is never cut
  bool prefill = false;
};

/// Cuts `plan`, of two parts or more, between two of them, so that both halves have about as many
/// rows. The parts of both, one after the other, are those of the whole.
std::pair<StepPlan, StepPlan> cut_in_two(StepPlan plan);

/// Decides for each step whether it is cut. Halves stream the shard's weights twice and save what
/// the shard waited for experts; which is more depends on machine, model, network and load, so it
/// is measured: per phase and power of two of rows, the other way is tried for a few steps, ever
/// less often as long as it does not pay. Never cuts where hardly anything is waited for.
/// *Threading*: one thread.
class MicroBatchChoice {
 public:
  static constexpr int kSamples = 4;      // steps in one piece before the first trial
  static constexpr int kTrialSteps = 4;   // of each trial
  static constexpr int kTrialEvery = 32;  // steps to the first trial; doubles after each
  static constexpr int kTrialEveryMax = 4096;
  static constexpr double kWaitShareMin = 0.1;  // of a step's time, for a cut to be thought of
  static constexpr double kGainMin = 0.03;      // of a step's time, for a cut to be kept

  explicit MicroBatchChoice(MicroBatching mode) : mode_(mode) {}

  bool cut(const StepSize& size);
  /// What a step took, and how much of that the shard waited with nothing to compute.
  void observe(const StepSize& size, bool cut, double seconds, double waited);

 private:
  /// Mean of the latest steps or so.
  struct Mean {
    double value = 0;
    int count = 0;
    void add(double sample);
  };
  struct Record {
    Mean whole, halves, waited;
    bool halves_pay = false;
    int until_trial = kTrialEvery;
    int interval = kTrialEvery;
    int trial_left = 0;
  };
  Record& record(const StepSize& size);

  MicroBatching mode_;
  std::array<std::array<Record, 32>, 2> records_{};  // by phase and power of two of rows
};

}  // namespace troupe::actors
