// One prompt through an engine, and what its positions say.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "actors/request.hpp"
#include "actors/request_engine.hpp"
#include "core/expected.hpp"

namespace troupe::services {

/// How a caller waits for a prompt: both are called from the waiting thread about 20 times a
/// second.
struct PromptWait {
  std::function<bool()> stop;                       // true withdraws the prompt
  std::function<void(std::int64_t done)> progress;  // positions computed
};

/// Raw logits of every position of `prompt`: [prompt, vocabulary], row-major; `vocabulary` is that
/// of the model. *Errors*: those of the request; `cancelled` after `stop`; `resource_exhausted`
/// when there is no memory for the result; `internal` when the engine gives another number of
/// logits. *Threading*: blocks until the prompt is computed.
Expected<std::vector<float>> prompt_logits(actors::RequestEngine& engine,
                                           std::vector<std::int32_t> prompt,
                                           std::int64_t vocabulary, const PromptWait& wait);

/// For each position but the first, the logarithm of the probability of its id among those below
/// `valid_vocab`. Otherwise as `prompt_logits`.
Expected<std::vector<float>> prompt_log_probabilities(actors::RequestEngine& engine,
                                                      std::vector<std::int32_t> prompt,
                                                      std::int64_t valid_vocab,
                                                      const PromptWait& wait);

}  // namespace troupe::services
