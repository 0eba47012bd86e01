// The mode in words.
#include "services/cli/activations.hpp"

#include <array>
#include <cstdio>

namespace troupe::services {
namespace {

using model::ActivationMode;

std::string_view rows_of(ActivationMode mode) {
  switch (mode) {
    case ActivationMode::f32: return "F32";
    case ActivationMode::bf16: return "BF16";
    case ActivationMode::bf16_tiles: return "BF16, summed as AMX does";
    case ActivationMode::fp8_act: return "FP8, 1x128";
    case ActivationMode::int8_act: return "INT8, 1x128";
  }
  return "unknown";
}

/// Of a mode that quantises nothing here: what it is for.
std::string_view meant_for(ActivationMode mode) {
  if (mode == ActivationMode::fp8_act) return "fp8";
  return "int8, int8-channel and int4, which `troupe model quantize` makes";
}

std::string cost_of(ActivationMode mode, const model::Quantisation& weights) {
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(),
                "; costs a mean KL of about %.4f nats on the bundled model, docs/performance.md",
                model::quantised_inputs_kl(mode, weights));
  return text.data();
}

/// Which `asked` is: one of the words that --mode takes.
ActivationMode mode_of(std::string_view asked, model::WeightFormat weights) {
  return *model::decide_activation_mode(asked, weights);
}

}  // namespace

std::string activations_line(std::string_view asked, const model::Quantisation& weights) {
  const ActivationMode mode = mode_of(asked, weights.format);
  const std::string named = "mode " + std::string(to_string(mode));
  const std::string format(to_string(weights.format));
  const bool quantises = model::quantises_inputs(mode, weights.format);
  if (!quantises && (mode == ActivationMode::fp8_act || mode == ActivationMode::int8_act))
    return "activations: BF16 (" + named + " computes as bf16 does with " + format +
           " weights; it is for " + std::string(meant_for(mode)) + ")";
  const bool chosen = asked == "auto";
  return "activations: " + std::string(rows_of(mode)) + " (" + named +
         (chosen ? ", the default for " + format + " weights" : ", as asked") +
         (quantises ? cost_of(mode, weights) : "") +
         (quantises && chosen ? "; --mode bf16 keeps them as they are" : "") + ")";
}

void tell_activations(const EngineOptions& options, const model::Quantisation& weights) {
  if (mode_of(options.mode, weights.format) == ActivationMode::bf16) return;
  std::fprintf(stderr, "%s\n", activations_line(options.mode, weights).c_str());
}

}  // namespace troupe::services
