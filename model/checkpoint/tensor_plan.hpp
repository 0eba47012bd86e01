// Which tensors a model needs, with their shapes: the checkpoint's side of the configuration.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/config/model_config.hpp"

namespace troupe::model {

enum class TensorKind : std::uint8_t {
  linear,  // matrix that may be F8_E4M3, I8 or packed I32 with scales, BF16 or F32
  plain,   // matrix that published checkpoints never quantise (4.6): BF16 or F32
  vector,  // one dimension, BF16 or F32
};

/// The role whose process reads the tensor.
enum class TensorRole : std::uint8_t { attention, router, experts };
std::string_view to_string(TensorRole role);

struct TensorSpec {
  std::string name;
  TensorKind kind = TensorKind::linear;
  TensorRole role = TensorRole::attention;
  int layer = -1;         // -1: belongs to none
  std::int64_t rows = 0;  // length of a vector
  std::int64_t cols = 0;  // 0 for a vector
  bool optional = false;  // the MTP layer's copies of embedding and head
};

/// Every tensor of the main model. *Source*: specification 2.1 to 2.4.
std::vector<TensorSpec> main_tensors(const ModelConfig& config);
/// Every tensor of the MTP layers. *Source*: specification 2.5.
std::vector<TensorSpec> mtp_tensors(const ModelConfig& config);

/// "model.layers.7."
std::string layer_prefix(int layer);

}  // namespace troupe::model
