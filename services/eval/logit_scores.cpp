// Sums relative to the largest logit, so that nothing overflows.
#include "services/eval/logit_scores.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/check.hpp"

namespace troupe::services {
namespace {

std::size_t top_of(std::span<const float> logits) {
  return static_cast<std::size_t>(std::ranges::max_element(logits) - logits.begin());
}

/// log of the sum of exp(logit - top).
double log_sum(std::span<const float> logits, double top) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return std::log(sum);
}

}  // namespace

double log_probability(std::span<const float> logits, std::int32_t token) {
  const auto id = static_cast<std::size_t>(token);
  TROUPE_CHECK(id < logits.size(), "token " + std::to_string(token));
  const double top = logits[top_of(logits)];
  return static_cast<double>(logits[id]) - top - log_sum(logits, top);
}

RowDistance row_distance(std::span<const float> reference, std::span<const float> tested) {
  TROUPE_CHECK(!reference.empty() && reference.size() == tested.size(),
               std::to_string(reference.size()) + " and " + std::to_string(tested.size()) + " ids");
  const std::size_t top_p = top_of(reference);
  const std::size_t top_q = top_of(tested);
  const double largest_p = reference[top_p];
  const double largest_q = tested[top_q];
  double sum = 0;       // of e = exp(reference - largest_p)
  double weighted = 0;  // of e * ((reference - largest_p) - (tested - largest_q))
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double p = static_cast<double>(reference[i]) - largest_p;
    const double q = static_cast<double>(tested[i]) - largest_q;
    const double e = std::exp(p);
    sum += e;
    weighted += e * (p - q);
  }
  // log(p / q) = (p - log sum of p) - (q - log sum of q).
  return {weighted / sum - std::log(sum) + log_sum(tested, largest_q), top_p == top_q};
}

void RunningMean::add(double value) {
  ++count_;
  largest_ = count_ == 1 ? value : std::max(largest_, value);
  const double before = value - mean_;
  mean_ += before / static_cast<double>(count_);
  squares_ += before * (value - mean_);
}

double RunningMean::error() const {
  if (count_ < 2) return 0;
  const auto n = static_cast<double>(count_);
  return std::sqrt(squares_ / (n - 1) / n);
}

}  // namespace troupe::services
