// Reading what a user names as input: a file, a pipe such as <(command), or standard input.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "core/expected.hpp"

namespace troupe::services {

/// All bytes of `file` up to its end; "-" is standard input. Blocks on a pipe until its writers are
/// done. *Errors*: as `model::os_error`; `invalid_argument` past `bytes_max`; `cancelled` when
/// Ctrl-C came meanwhile.
Expected<std::string> read_input(const std::filesystem::path& file, std::uint64_t bytes_max);

}  // namespace troupe::services
