// Which relatives of DeepSeek-V3 are not served, and the reason a user is told.
#pragma once
#include "model/config/config_reader.hpp"

namespace troupe::model {

/// Notes an `unsupported` error in `reader` if the config describes another architecture: by
/// model_type, architectures or a key that only a relative has.
/// *Source*: specification 1.3, detection order (1) to (3).
void refuse_other_architectures(ConfigReader& reader);

/// Notes an error for settings of the V3 family itself that the engine does not do (biases, other
/// activations or routing, tied embeddings, half-split RoPE).
void refuse_unserved_settings(ConfigReader& reader);

}  // namespace troupe::model
