// One weight file of a cast: what it will contain, whether it is already there, and writing it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/expected.hpp"
#include "model/checkpoint/checkpoint.hpp"

namespace troupe::model {

/// An output file, planned from the input file of the same name. Tensors keep their order.
struct ShardPlan {
  std::string name;
  const SafetensorsFile* source = nullptr;
  std::vector<const TensorView*> tensors;  // without scales
  bool verbatim = false;                   // nothing to cast: the input's bytes as they are
  std::string head;                        // length prefix and header text
  std::uint64_t file_bytes = 0;

  std::uint64_t tensor_bytes() const;
};

/// One plan per input file that holds anything but scales; views point into `checkpoint`.
/// *Errors*: `malformed` for an F8_E4M3 tensor that is no matrix.
Expected<std::vector<ShardPlan>> plan_shards(const Checkpoint& checkpoint);

/// Bytes the tensor has after the cast.
std::uint64_t cast_bytes(const TensorView& tensor);

/// Whether `dir` already holds the plan's file: equal head and length. Files are renamed into place
/// only when complete, so equal heads mean equal data.
bool is_finished(const ShardPlan& plan, const std::filesystem::path& dir);

/// Told the bytes just written; false stops.
using CastStep = std::function<bool(std::uint64_t bytes)>;

/// *Errors*: those of `Checkpoint::matrix`, `check_codes` and `OutputFile`; `cancelled`.
Expected<void> write_shard(const Checkpoint& checkpoint, const ShardPlan& plan,
                           const std::filesystem::path& dir, const CastStep& step);

}  // namespace troupe::model
