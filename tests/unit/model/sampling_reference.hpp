// A plain second writing of specification 8.2, for tests to compare the sampler with.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "model/sampler.hpp"

namespace troupe::model {

inline constexpr double kForbidden = -std::numeric_limits<double>::infinity();
inline constexpr std::int32_t kVocab = 16;
/// What F32 may decide otherwise: 100 of bias, divided by the lowest temperature below and taken
/// as an exponent, is off by 2^-24 * 100 / 0.1 = 6e-5.
inline constexpr double kMargin = 1e-3;

/// Everything that a draw depends on but its position.
struct SamplingSetting {
  std::vector<float> logits;  // those at and above kVocab are padding
  SamplingParams params;
  std::vector<std::int32_t> prompt, generated;
  std::optional<std::set<std::int32_t>> allowed{};  // by a grammar
};

inline bool near(double a, double b) {
  return std::abs(a - b) <= kMargin * std::max(1.0, std::abs(b));
}
/// Ties are ties in F32 too: the same operations made both.
inline bool nearly_tied(double a, double b) { return a != b && near(a, b); }

/// Ids from the largest logit to the smallest.
inline std::vector<std::int32_t> descending(const std::vector<double>& logits) {
  std::vector<std::int32_t> order;
  for (std::int32_t id = 0; id < kVocab; ++id) order.push_back(id);
  std::ranges::stable_sort(order, [&](std::int32_t a, std::int32_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  return order;
}

/// Specification 8.2, one operation after the other, in double precision.
class SamplingReference {
 public:
  explicit SamplingReference(const SamplingSetting& setting)
      : params_(setting.params), l_(setting.logits.begin(), setting.logits.begin() + kVocab) {
    mask(setting);
    forbid_bad_words(setting);
    forbid_stops(setting);
    bias();
    penalise(setting);
    if (params_.temperature < 1e-5f) {  // step 7
      keep_largest();
    } else {
      for (double& l : l_) l /= params_.temperature;
      drop_below_min_p();
      keep_top_k();
      keep_top_p();
    }
  }

  const std::set<std::int32_t>& kept() const { return kept_; }
  /// Whether F32 decides nothing else than double precision does.
  bool clear() const { return clear_; }

  /// Nothing: two are too near each other.
  std::optional<std::int32_t> draw(std::uint64_t seed, std::int64_t position) const {
    std::map<double, std::int32_t> speeds;
    for (const auto id : kept_)
      speeds[l(id) - std::log(-std::log(uniform_noise(seed, position, id)))] = id;
    const auto first = speeds.rbegin();
    if (kept_.size() > 1 && near(std::next(first)->first, first->first)) return std::nullopt;
    return first->second;
  }

 private:
  double l(std::int32_t id) const { return l_[static_cast<std::size_t>(id)]; }
  double& l(std::int32_t id) { return l_[static_cast<std::size_t>(id)]; }

  void mask(const SamplingSetting& setting) {  // step 3
    const std::set<std::int32_t> listed(params_.allowed_token_ids.begin(),
                                        params_.allowed_token_ids.end());
    const std::set<std::int32_t> stops(params_.stop_token_ids.begin(),
                                       params_.stop_token_ids.end());
    for (std::int32_t id = 0; id < kVocab; ++id) {
      const bool in_grammar = !setting.allowed || setting.allowed->contains(id);
      // Ours: where a grammar lets the answer end, no list keeps it from ending.
      const bool ends = setting.allowed && stops.contains(id);
      const bool in_list = listed.empty() || listed.contains(id) || ends;
      if (!in_grammar || !in_list) l(id) = kForbidden;
    }
  }
  void forbid_bad_words(const SamplingSetting& setting) {  // step 4
    for (const auto& word : params_.bad_words) {
      std::vector<std::int32_t> next = setting.generated;
      next.push_back(word.back());
      if (next.size() >= word.size() && std::equal(word.rbegin(), word.rend(), next.rbegin()))
        l(word.back()) = kForbidden;
    }
  }
  void forbid_stops(const SamplingSetting& setting) {  // step 5
    if (setting.generated.size() >= static_cast<std::size_t>(params_.min_tokens)) return;
    for (const auto id : params_.stop_token_ids) l(id) = kForbidden;
  }
  void bias() {
    for (const auto& [id, bias] : params_.logit_bias) l(id) += bias;
  }
  void penalise(const SamplingSetting& setting) {  // step 6: repetition, frequency, presence
    for (std::int32_t id = 0; id < kVocab; ++id) {
      const auto count = std::ranges::count(setting.generated, id);
      const bool seen = count > 0 || std::ranges::count(setting.prompt, id) > 0;
      const double r = params_.repetition_penalty;
      if (seen) l(id) = l(id) > 0 ? l(id) / r : l(id) * r;
      l(id) -= static_cast<double>(params_.frequency_penalty) * static_cast<double>(count);
      if (count > 0) l(id) -= params_.presence_penalty;
    }
    for (std::int32_t id = 0; id < kVocab; ++id)
      if (l(id) != kForbidden) kept_.insert(id);
  }
  void keep_largest() {
    const auto order = descending(l_);
    clear_ = kept_.size() < 2 || !nearly_tied(l(order[1]), l(order[0]));
    kept_ = {order[0]};
  }

  /// Of those kept, with the largest as 1.
  double weight(std::int32_t id) const { return std::exp(l(id) - std::ranges::max(l_)); }
  void drop_below_min_p() {
    for (std::int32_t id = 0; id < kVocab; ++id) {
      if (near(weight(id) / params_.min_p, 1)) clear_ = false;
      if (weight(id) < params_.min_p) kept_.erase(id);
    }
  }
  void keep_top_k() {
    if (params_.top_k < 1 || static_cast<std::size_t>(params_.top_k) >= kept_.size()) return;
    const auto order = descending(l_);  // those dropped so far come last
    const double least = l(order[static_cast<std::size_t>(params_.top_k) - 1]);
    for (std::int32_t id = 0; id < kVocab; ++id) {
      if (nearly_tied(l(id), least)) clear_ = false;
      if (l(id) < least) kept_.erase(id);
    }
  }
  void keep_top_p() {
    if (params_.top_p >= 1) return;
    double all = 0, mass = 0;
    for (const auto id : kept_) all += weight(id);
    std::set<std::int32_t> enough;
    for (const auto id : descending(l_)) {
      if (!kept_.contains(id) || mass / all >= params_.top_p) continue;
      enough.insert(id);
      mass += weight(id);
      if (near(mass / all / params_.top_p, 1)) clear_ = false;
    }
    kept_ = enough;
  }

  const SamplingParams& params_;
  std::vector<double> l_;
  std::set<std::int32_t> kept_;
  bool clear_ = true;
};

}  // namespace troupe::model
