// Latent attention in F64, with a bound of what F32 may be off by in each column of the output.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops/mla_attention.hpp"

namespace troupe::kernels {

/// What one number is off by after many roundings to first order: the sum of magnitude_i * d_i,
/// |d_i| <= 2^-24, where magnitude_i is the size of what was rounded times its share in the number.
struct Roundings {
  double sum = 0;      // of magnitudes
  double squares = 0;  // of magnitudes

  void add(double magnitude) {
    sum += std::fabs(magnitude);
    squares += magnitude * magnitude;
  }
  /// The roundings of another number, which has this share in ours.
  void add(const Roundings& of, double share) {
    sum += of.sum * std::fabs(share);
    squares += of.squares * share * share;
  }
  /// `sum` always holds, but over 32768 keys it is 140 times the largest error and would hide a
  /// lost key. Where roundings are independent with mean 0, the other one holds but for one case in
  /// 1e10 (Hoeffding: 2 exp(-7^2 / 2) = 5e-11; Higham and Mary, "A New Approach to Probabilistic
  /// Rounding Error Analysis", 2019). 1.01 is for terms of second order.
  double bound() const { return 1.01 * 0x1p-24 * std::min(sum, 7 * std::sqrt(squares)); }
};

/// exp_f32 is off by less than 2 ulp, each at most 2 * 2^-24 of the value; exp_f32(0) is exact.
inline constexpr double kExpRoundings = 4;

/// The sum of term(k), k < n, where each step in 16 lanes and each of their tree is rounded.
template <class Term>
double lane_sum(std::int64_t n, const Term& term, Roundings& roundings) {
  std::array<double, 16> lanes{};
  for (std::int64_t k = 0; k < n; ++k) {
    double& lane = lanes[static_cast<std::size_t>(k % 16)];
    lane += term(k);
    roundings.add(lane);
  }
  for (std::size_t width = 8; width > 0; width /= 2)
    for (std::size_t i = 0; i < width; ++i) {
      lanes[i] += lanes[i + width];
      roundings.add(lanes[i]);
    }
  return lanes[0];
}

/// One (row, head) pair by definition, and the roundings of mla_attention in the order of ADR 0001.
/// Numbers after the softmax are in units of its sum: a split's factor exp(m - M) is no rounding.
class AttentionInF64 {
 public:
  /// Shapes: query [width], keys [count, width], the first `latent` of each are its value.
  AttentionInF64(std::span<const float> query, std::span<const float> keys, std::int64_t latent,
                 float scale)
      : query_(query),
        keys_(keys),
        count_(static_cast<std::int64_t>(keys.size() / query.size())),
        values_(static_cast<std::size_t>(latent)),
        columns_(values_.size()) {
    for (std::int64_t j = 0; j < count_; ++j) score(j, static_cast<double>(scale));
    soften();
    Part total = split(0);
    for (std::int64_t begin = kSplitTokens; begin < count_; begin += kSplitTokens)
      merge(total, split(begin));
    sum_.add(1);  // 1 / L
    for (std::size_t d = 0; d < values_.size(); ++d) {
      columns_[d].add(values_[d]);  // V * (1 / L)
      columns_[d].add(sum_, values_[d]);
    }
  }

  double value(std::size_t d) const { return values_[d]; }
  double bound(std::size_t d) const { return columns_[d].bound(); }
  /// How many times its bound the column is off that shows best that key j was left out.
  double times_bound_without(std::int64_t j) const {
    const double weight = weights_[static_cast<std::size_t>(j)];
    double most = 0;
    for (std::size_t d = 0; d < values_.size(); ++d)
      most = std::max(most, std::fabs(key(j)[d] - values_[d]) / columns_[d].bound());
    return weight / (1 - weight) * most;
  }

 private:
  /// Positions of one or more splits: maximum of the scores, sum of weights, weighted values.
  struct Part {
    double max = 0;
    double weight = 0;
    std::vector<double> values;
  };

  const float* key(std::int64_t j) const {
    return keys_.data() + static_cast<std::size_t>(j) * query_.size();
  }

  void score(std::int64_t j, double scale) {
    Roundings dot;
    const float* row = key(j);
    const auto term = [&](std::int64_t k) {
      return static_cast<double>(row[k]) * static_cast<double>(query_[static_cast<std::size_t>(k)]);
    };
    const double s = scale * lane_sum(static_cast<std::int64_t>(query_.size()), term, dot);
    Roundings roundings;
    roundings.add(dot, scale);
    roundings.add(s);
    scores_.push_back(s);
    score_roundings_.push_back(roundings);
  }

  void soften() {
    const double max = *std::max_element(scores_.begin(), scores_.end());
    double total = 0;
    for (const double s : scores_) total += std::exp(s - max);
    for (std::int64_t j = 0; j < count_; ++j) {
      weights_.push_back(std::exp(scores_[static_cast<std::size_t>(j)] - max) / total);
      for (std::size_t d = 0; d < values_.size(); ++d) values_[d] += weights_.back() * key(j)[d];
    }
  }

  Part split(std::int64_t begin) {
    const std::int64_t end = std::min(begin + kSplitTokens, count_);
    Part part{.max = *std::max_element(scores_.begin() + begin, scores_.begin() + end),
              .weight = 0,
              .values = std::vector<double>(values_.size())};
    const auto weight = [&](std::int64_t i) {
      return weights_[static_cast<std::size_t>(begin + i)];
    };
    part.weight = lane_sum(end - begin, weight, sum_);
    for (std::int64_t j = begin; j < end; ++j) {
      const auto at = static_cast<std::size_t>(j);
      Roundings p = score_roundings_[at];  // exp turns them into parts of the weight
      p.add(scores_[at] - part.max);
      p.add(kExpRoundings);
      const float* v = key(j);
      for (std::size_t d = 0; d < values_.size(); ++d) {
        columns_[d].add(p, weights_[at] * (v[d] - values_[d]));
        part.values[d] += weights_[at] * v[d];
        columns_[d].add(part.values[d]);
      }
    }
    return part;
  }

  /// The part with the lower maximum takes a factor exp(lower - higher), the other one of 1.
  void merge(Part& total, const Part& next) {
    const Part& lower = total.max < next.max ? total : next;
    const double exponent = total.max - next.max;
    for (std::size_t d = 0; d < values_.size(); ++d) {
      const double share = lower.values[d] - lower.weight * values_[d];
      columns_[d].add(share * exponent);
      columns_[d].add(share * kExpRoundings);
      columns_[d].add(total.values[d]);
      total.values[d] += next.values[d];
      columns_[d].add(total.values[d]);
    }
    sum_.add(total.weight);
    total.weight += next.weight;
    sum_.add(total.weight);
    total.max = std::max(total.max, next.max);
  }

  std::span<const float> query_;
  std::span<const float> keys_;
  std::int64_t count_;
  std::vector<double> scores_;
  std::vector<Roundings> score_roundings_;
  std::vector<double> weights_;  // [count]
  std::vector<double> values_;   // [latent]: the output
  std::vector<Roundings> columns_;
  Roundings sum_;  // of the weights
};

}  // namespace troupe::kernels
