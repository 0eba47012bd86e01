// YaRN's frequencies and softmax scale in F64, as the specification writes them.
#include "model/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/math.hpp"

namespace troupe::model {
namespace {

// get_m of specification 3.5.
double magnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * kernels::log_f64(factor) + 1.0;
}

// The dimension whose wave makes `turns` turns over the original context (3.5, dim(r)).
double dimension_of(double turns, const Yarn& yarn, double dims, double theta) {
  const double waves = yarn.original_max_position_embeddings / (2 * std::numbers::pi * turns);
  return dims * kernels::log_f64(waves) / (2 * kernels::log_f64(theta));
}

}  // namespace

RopeTable::RopeTable(const ModelConfig& config) {
  const int dims = config.qk_rope_head_dim;
  double low = 0;
  double high = 1;
  if (config.yarn) {
    const Yarn& yarn = *config.yarn;
    low = std::max(std::floor(dimension_of(yarn.beta_fast, yarn, dims, config.rope_theta)), 0.0);
    // The clamp is dims - 1, not dims / 2 - 1 (specification 3.5).
    high = std::min(std::ceil(dimension_of(yarn.beta_slow, yarn, dims, config.rope_theta)),
                    dims - 1.0);
    if (low == high) high += 0.001;
    amplitude_ = magnitude(yarn.factor, yarn.mscale) / magnitude(yarn.factor, yarn.mscale_all_dim);
  }
  for (int i = 0; i < dims / 2; ++i) {
    double f = kernels::pow_f64(config.rope_theta, -2.0 * i / dims);
    if (config.yarn) {
      const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
      f = (f / config.yarn->factor) * ramp + f * (1 - ramp);
    }
    frequencies_.push_back(static_cast<float>(f));
  }
}

void RopeTable::rotation(std::int64_t position, float* cos, float* sin) const {
  for (std::size_t i = 0; i < frequencies_.size(); ++i) {
    const float angle = static_cast<float>(position) * frequencies_[i];
    cos[i] = static_cast<float>(kernels::cos_f64(angle) * amplitude_);
    sin[i] = static_cast<float>(kernels::sin_f64(angle) * amplitude_);
  }
}

float softmax_scale(const ModelConfig& config) {
  double scale = 1.0 / std::sqrt(static_cast<double>(config.qk_head_dim()));
  if (config.yarn && config.yarn->mscale_all_dim != 0) {
    const double m = magnitude(config.yarn->factor, config.yarn->mscale_all_dim);
    scale *= m * m;
  }
  return static_cast<float>(scale);
}

}  // namespace troupe::model
