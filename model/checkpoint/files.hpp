// Small files read whole, and the one place where errno becomes an Error.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/expected.hpp"

namespace troupe::model {

/// `cannot ACTION PATH: REASON`. ENOENT and ENOTDIR are `not_found`, ENOSPC, EDQUOT, ENOMEM and
/// EMFILE `resource_exhausted`, everything else `io`.
Error os_error(std::string_view action, const std::filesystem::path& path, int error_number);

/// The bytes of a regular file of at most `bytes_max`.
/// *Errors*: as `os_error`; `malformed` when it is larger or not a regular file.
Expected<std::string> read_text_file(const std::filesystem::path& path, std::uint64_t bytes_max);

/// `error` with "`where`: " in front of its detail.
Unexpected at(const std::filesystem::path& where, const Error& error);

}  // namespace troupe::model
