// The choice by format, and the table of what was measured.
#include "model/activation_choice.hpp"

#include "model/checkpoint/ignore_list.hpp"

namespace troupe::model {
namespace {

struct MeasuredCost {
  ActivationMode mode;
  WeightFormat weights;
  double kl_nats;
  Int4Layers int4_layers = Int4Layers::experts;  // of int4_groups only
};

constexpr MeasuredCost kMeasured[] = {
    {ActivationMode::int8_act, WeightFormat::int8_channel, 0.0017},
    {ActivationMode::int8_act, WeightFormat::int8_blocks, 0.0017},
    {ActivationMode::int8_act, WeightFormat::int4_groups, 0.0010},
    {ActivationMode::int8_act, WeightFormat::int4_groups, 0.0018, Int4Layers::all},
    {ActivationMode::fp8_act, WeightFormat::fp8_blocks, 0.0033},
};

/// By a layer of attention, which Kimi K2 and `quantize --to int4` leave alone.
Int4Layers int4_layers(const Quantisation& weights) {
  const auto ignore = IgnoreList::compile(weights.ignore);
  if (!ignore) return Int4Layers::all;  // whoever opens the checkpoint says what is wrong
  const auto covered = ignore->covering("model.layers.0.self_attn.o_proj");
  return covered && !covered->empty() ? Int4Layers::experts : Int4Layers::all;
}

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
    case ActivationMode::bf16:
    case ActivationMode::bf16_tiles: return false;
    case ActivationMode::fp8_act: return weights == WeightFormat::fp8_blocks;
    case ActivationMode::int8_act: return takes_int8_rows(weights);
  }
  return false;
}

double quantised_inputs_kl(ActivationMode mode, const Quantisation& weights) {
  const bool int4 = weights.format == WeightFormat::int4_groups;
  const Int4Layers layers = int4 ? int4_layers(weights) : Int4Layers::experts;
  for (const MeasuredCost& cost : kMeasured)
    if (cost.mode == mode && cost.weights == weights.format && cost.int4_layers == layers)
      return cost.kl_nats;
  return 0;
}

}  // namespace troupe::model
