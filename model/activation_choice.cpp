// The choice by format, and the table of what was measured.
#include "model/activation_choice.hpp"

namespace troupe::model {
namespace {

struct MeasuredCost {
  ActivationMode mode;
  WeightFormat weights;
  double kl_nats;
};

constexpr MeasuredCost kMeasured[] = {
    {ActivationMode::int8_act, WeightFormat::int8_channel, 0.0016},
    {ActivationMode::int8_act, WeightFormat::int8_blocks, 0.0015},
    {ActivationMode::int8_act, WeightFormat::int4_groups, 0.0018},  // all layers; experts: 0.0009
    {ActivationMode::fp8_act, WeightFormat::fp8_blocks, 0.0034},
};

}  // namespace

ActivationMode default_activation_mode(WeightFormat weights) {
  // Products of INT8 codes are faster than those of F32; e4m3 codes become F32 in any case, and a
  // mode that quantises nothing would only be another name of bf16.
  return takes_int8_rows(weights) ? ActivationMode::int8_act : ActivationMode::bf16;
}

Expected<ActivationMode> decide_activation_mode(std::string_view name, WeightFormat weights) {
  if (name == "auto") return default_activation_mode(weights);
  return parse_activation_mode(name);
}

bool quantises_inputs(ActivationMode mode, WeightFormat weights) {
  switch (mode) {
    case ActivationMode::f32:
    case ActivationMode::bf16: return false;
    case ActivationMode::fp8_act: return weights == WeightFormat::fp8_blocks;
    case ActivationMode::int8_act: return takes_int8_rows(weights);
  }
  return false;
}

double quantised_inputs_kl(ActivationMode mode, WeightFormat weights) {
  for (const MeasuredCost& cost : kMeasured)
    if (cost.mode == mode && cost.weights == weights) return cost.kl_nats;
  return 0;
}

}  // namespace troupe::model
