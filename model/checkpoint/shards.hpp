// The safetensors files of a checkpoint directory and the tensors they hold, found by name.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "core/expected.hpp"
#include "model/checkpoint/safetensors.hpp"

namespace troupe::model {

/// A tensor in a mapped file. Nothing is owned; `data` may start at any byte offset.
struct TensorView {
  std::string_view name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  const std::byte* data = nullptr;
  std::uint64_t bytes = 0;
  std::string_view file;  // the shard's name inside the directory

  std::int64_t count() const { return static_cast<std::int64_t>(bytes / bytes_of(dtype)); }
};

/// "[3, 5]"
std::string to_string(const std::vector<std::int64_t>& shape);

struct ShardSet {
  std::vector<std::string> names;      // ascending
  std::vector<SafetensorsFile> files;  // same order
  std::vector<TensorView> tensors;     // ascending by name; views of `names` and `files`
};

/// Opens what model.safetensors.index.json lists, or model.safetensors alone. Only tensors of the
/// index's weight_map are visible; its metadata (total_size) is ignored.
/// *Errors*: `not_found` when there are no weights or a shard is missing (named together with a
/// tensor it should hold); `malformed` for shard names with path separators and for tensors that
/// the index places in a shard that lacks them; those of `SafetensorsFile::open`.
/// *Source*: specification 2.7.
Expected<ShardSet> open_shards(const std::filesystem::path& dir);

}  // namespace troupe::model
