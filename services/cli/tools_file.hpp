// Functions that a model may call, as a file: a JSON array, as the `tools` of OpenAI's API.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "core/expected.hpp"

namespace troupe::services {

/// Each of them as a JSON text. *Errors*: those of reading; `malformed` that names the file and
/// what is wrong at which place.
Expected<std::vector<std::string>> load_tools(const std::filesystem::path& file);

}  // namespace troupe::services
