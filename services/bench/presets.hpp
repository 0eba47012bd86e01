// Dimensions of the models whose kernels are measured without having their weights.
#pragma once
#include <span>
#include <string_view>

#include "model/config/model_config.hpp"

namespace troupe::services {

struct BenchPreset {
  std::string_view name;  // "deepseek-v3"
  model::ModelConfig config;
};

/// DeepSeek-V3, Kimi K2 and bench-1b of tests/goldens/tools/make_model.py.
/// *Source*: specification 1.1 and 1.3; make_model.py.
std::span<const BenchPreset> bench_presets();

}  // namespace troupe::services
