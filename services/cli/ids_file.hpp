// The token-id arrays of `troupe eval logits`.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/expected.hpp"

namespace troupe::services {

using IdArrays = std::vector<std::vector<std::int32_t>>;

/// A file or pipe that holds a non-empty JSON array of non-empty arrays of ids.
/// *Errors*: `malformed` naming the file and, where there is one, the index of the array; those of
/// `read_input`.
Expected<IdArrays> read_ids_file(const std::filesystem::path& file);

struct IdBounds {
  std::int64_t vocab_size = 0;
  std::int64_t context = 0;    // positions of the model
  std::int64_t generated = 0;  // tokens that will follow each array
};
/// *Errors*: `out_of_range` naming the first array that breaks a bound, and the bound.
Expected<void> check_ids(const IdArrays& arrays, const IdBounds& bounds);

}  // namespace troupe::services
