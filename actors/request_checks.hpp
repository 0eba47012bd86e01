// Whether a request can be run at all, before anybody is asked to.
#pragma once
#include "actors/request.hpp"
#include "core/expected.hpp"
#include "model/config/model_config.hpp"

namespace troupe::actors {

/// *Errors*: `invalid_argument` (empty prompt, sampling parameters, logprobs, choices, a grammar
/// too long), `out_of_range` (a token id past the vocabulary, or longer than the model's
/// positions).
Expected<void> check_request(const GenerateRequest& request, const model::ModelConfig& config);

}  // namespace troupe::actors
