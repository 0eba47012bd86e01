// The output directory of a cast: new, or with what an earlier call of the same cast has finished.
#pragma once
#include <filesystem>
#include <string>

#include "core/expected.hpp"
#include "model/checkpoint/checkpoint.hpp"

namespace troupe::model {

/// What `out`/.troupe-cast.json says of a cast of `checkpoint` to `format` ("int8"): revision and
/// format, and size and time of last change of every weight file, since models that differ in their
/// matrices alone have one revision. *Errors*: `io`.
Expected<std::string> cast_state(const Checkpoint& checkpoint, const std::string& format);

/// What stands at `path`; nothing is `file_type::not_found`. *Errors*: `io`.
Expected<std::filesystem::file_type> file_type_of(const std::filesystem::path& path);

/// Creates `out`, or makes sure that it is empty or holds an earlier part of the cast of `state`.
/// *Errors*: `invalid_argument` when it holds anything else, saying what; those of `write_file`;
/// `io`.
Expected<void> prepare_cast_output(const std::filesystem::path& out, const std::string& state);

}  // namespace troupe::model
