// Sampling defaults of a model, and seeds for requests that bring none.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/expected.hpp"
#include "model/sampler.hpp"

namespace troupe::services {

/// What generation_config.json says; absent members stay at the sampler's defaults.
struct GenerationDefaults {
  model::SamplingParams sampling;
  std::vector<std::int32_t> eos_token_ids;
};

/// Reads `dir`/generation_config.json; an absent file gives the sampler's defaults.
/// *Errors*: `malformed` naming the member; `io`.
Expected<GenerationDefaults> load_generation_defaults(const std::filesystem::path& dir);

/// The model's end-of-text ids, by config.json and generation_config.json: ascending, each once.
std::vector<std::int32_t> stop_ids(const GenerationDefaults& defaults,
                                   const std::vector<int>& eos_token_ids);

/// 64 bits from the operating system, for requests without a seed.
std::uint64_t draw_seed();

}  // namespace troupe::services
