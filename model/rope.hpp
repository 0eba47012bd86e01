// Rotary position embedding with YaRN: frequencies, rotations of a position, and the softmax scale.
#pragma once
#include <cstdint>
#include <vector>

#include "model/config/model_config.hpp"

namespace troupe::model {

/// Rotations of the rope part. *Source*: specification 3.5; frequencies and angles are F32 numbers,
/// their cosine and sine are taken in F64 and rounded once.
class RopeTable {
 public:
  explicit RopeTable(const ModelConfig& config);

  /// cos and sin [rope / 2] of one absolute position, amplitude included.
  void rotation(std::int64_t position, float* cos, float* sin) const;
  const std::vector<float>& frequencies() const { return frequencies_; }
  double amplitude() const { return amplitude_; }

 private:
  std::vector<float> frequencies_;  // [rope / 2]
  double amplitude_ = 1;
};

/// (nope + rope)^-1/2, times m^2 when YaRN has an mscale_all_dim. *Source*: specification 3.6.
float softmax_scale(const ModelConfig& config);

}  // namespace troupe::model
