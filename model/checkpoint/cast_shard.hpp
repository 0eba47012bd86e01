// One weight file of a cast: whether it is already there, and writing it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>

#include "core/expected.hpp"
#include "model/checkpoint/cast_plan.hpp"
#include "model/checkpoint/checkpoint.hpp"

namespace troupe::model {

/// Whether `dir` already holds the plan's file: equal head and length. Files are renamed into place
/// only when complete, so equal heads mean equal data.
bool is_finished(const ShardPlan& plan, const std::filesystem::path& dir);

/// Told the bytes just written; false stops.
using CastStep = std::function<bool(std::uint64_t bytes)>;

/// *Errors*: those of `Checkpoint::matrix`, `check_codes` and `OutputFile`; `malformed` for values
/// that the format cannot hold; `cancelled`.
Expected<void> write_shard(const Checkpoint& checkpoint, const ShardPlan& plan,
                           const std::filesystem::path& dir, const CastStep& step);

}  // namespace troupe::model
