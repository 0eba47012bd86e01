// Where the bundled model is when the user names none.
#pragma once
#include <filesystem>
#include <string>

#include "core/expected.hpp"

namespace troupe::services {

/// `named` if it is not empty, else the first of these that has a config.json:
/// `examples/troupe-tiny` beside the executable; `share/troupe/examples/troupe-tiny` under its
/// prefix; `examples/troupe-tiny` in the source tree the program was built from.
/// *Errors*: `not_found` with all places looked at.
Expected<std::filesystem::path> find_model(const std::string& named);

/// What requests call the model: `given` if it is not empty, else the name of its directory.
std::string served_name(const std::string& given, const std::string& model_path);

/// The directory of the running program, links resolved.
std::filesystem::path executable_directory();

}  // namespace troupe::services
