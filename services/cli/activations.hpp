// Says which activations are computed with, who chose them and what they cost.
#pragma once
#include <string>
#include <string_view>

#include "model/activation_choice.hpp"
#include "services/cli/engine_options.hpp"

namespace troupe::services {

/// "activations: INT8, 1x128 (mode int8-act, the default for int8 weights; costs a mean KL of
/// ...)". `asked`: one of the words of --mode, "auto" included.
std::string activations_line(std::string_view asked, const model::Quantisation& weights);

/// That line on stderr unless the mode is bf16: for commands whose answers are what matters.
void tell_activations(const EngineOptions& options, const model::Quantisation& weights);

}  // namespace troupe::services
