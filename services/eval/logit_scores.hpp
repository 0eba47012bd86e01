// What a row of logits says of the next token, and how far two rows are apart; in F64.
#pragma once
#include <cstdint>
#include <span>

namespace troupe::services {

/// log of the softmax of `logits` at `token`, in nats.
double log_probability(std::span<const float> logits, std::int32_t token);

struct RowDistance {
  double kl = 0;          // nats: sum of p log(p / q), p of the reference, q of the tested row
  bool same_top = false;  // the same id has the largest logit, the lower id on ties
};
/// Rows of one length over the same ids.
RowDistance row_distance(std::span<const float> reference, std::span<const float> tested);

/// Mean and largest of values that come one by one (Welford's recurrence).
class RunningMean {
 public:
  void add(double value);
  std::int64_t count() const { return count_; }
  double mean() const { return mean_; }
  /// Standard error of the mean; 0 for fewer than two values.
  double error() const;
  double largest() const { return largest_; }

 private:
  std::int64_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;  // of distances from the mean
  double largest_ = 0;
};

}  // namespace troupe::services
