// Group-limited top-k selection on biased scores, weights from the unbiased ones.
#include <algorithm>
#include <limits>
#include <vector>

#include "model/router_model.hpp"

namespace troupe::model {
namespace {

// Indices of the `k` largest values, larger first, equal values by lower index.
std::vector<std::int32_t> largest(const std::vector<float>& values, std::int64_t k) {
  std::vector<std::int32_t> order(values.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
  const auto better = [&](std::int32_t a, std::int32_t b) {
    const float x = values[static_cast<std::size_t>(a)];
    const float y = values[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + k, order.end(), better);
  order.resize(static_cast<std::size_t>(k));
  return order;
}

// A group's score: the sum of its two largest biased scores (specification 3.8, step 4).
float group_score(const float* biased, std::int64_t size) {
  float first = -std::numeric_limits<float>::infinity();
  float second = first;
  for (std::int64_t i = 0; i < size; ++i) {
    if (biased[i] > first) {
      second = first;
      first = biased[i];
    } else if (biased[i] > second) {
      second = biased[i];
    }
  }
  return first + second;
}

// Experts outside the best groups get -inf, not 0: biased scores may be negative (step 5).
void mask_groups(const GateRule& rule, std::vector<float>& biased) {
  const std::int64_t size = rule.experts / rule.groups;
  std::vector<float> scores;
  for (std::int64_t g = 0; g < rule.groups; ++g)
    scores.push_back(group_score(biased.data() + g * size, size));
  std::vector<bool> kept(static_cast<std::size_t>(rule.groups), false);
  for (const std::int32_t g : largest(scores, rule.groups_kept))
    kept[static_cast<std::size_t>(g)] = true;
  for (std::int64_t e = 0; e < rule.experts; ++e)
    if (!kept[static_cast<std::size_t>(e / size)])
      biased[static_cast<std::size_t>(e)] = -std::numeric_limits<float>::infinity();
}

}  // namespace

void select_experts(const GateRule& rule, const float* scores, const float* bias,
                    std::int32_t* experts, float* weights) {
  std::vector<float> biased(static_cast<std::size_t>(rule.experts));
  for (std::size_t e = 0; e < biased.size(); ++e) biased[e] = scores[e] + bias[e];
  if (rule.groups > 1) mask_groups(rule, biased);
  auto chosen = largest(biased, rule.experts_per_token);
  std::sort(chosen.begin(), chosen.end());
  float sum = 0;  // ascending expert id
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    experts[i] = chosen[i];
    weights[i] = scores[chosen[i]];
    sum += weights[i];
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (rule.norm_topk_prob) weights[i] /= sum + 1e-20f;
    weights[i] *= rule.route_scale;
  }
}

}  // namespace troupe::model
