// Which activations a model is computed with where nobody says, and what quantised ones cost.
#pragma once
#include <string_view>

#include "core/expected.hpp"
#include "model/config/quantisation.hpp"
#include "model/numerics.hpp"

namespace troupe::model {

/// What mode `auto` is with such weights. It follows from the format alone, never from the machine:
/// the mode decides bits, and all services of a cluster have to agree on them. Which mode it is was
/// chosen by measurement. *Source*: docs/performance.md, "Which activations by default".
ActivationMode default_activation_mode(WeightFormat weights);

/// What `name`, "auto" or that of a mode, means with such weights.
/// *Errors*: those of parse_activation_mode.
Expected<ActivationMode> decide_activation_mode(std::string_view name, WeightFormat weights);

/// Whether the mode quantises the inputs of such weights; with others it computes as bf16 does.
bool quantises_inputs(ActivationMode mode, WeightFormat weights);

/// Mean KL divergence in nats of the mode from mode bf16 with the same weights, of the bundled
/// model in that format, INT4 in all layers or in the experts alone as in these weights; 0 where it
/// quantises nothing. *Source*: docs/performance.md, "What quantising costs".
double quantised_inputs_kl(ActivationMode mode, const Quantisation& weights);

}  // namespace troupe::model
