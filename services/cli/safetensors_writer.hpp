// Writes a safetensors file of arrays whose shapes are known before their contents.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "core/expected.hpp"
#include "services/cli/result_file.hpp"

namespace troupe::services {

struct ArraySpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
};

/// The file appears under its name only when `commit` succeeds; until then, and after a failure,
/// whatever was there stays. Source: specification 2.7.
class SafetensorsWriter {
 public:
  /// Creates the unfinished file with its header. *Errors*: `io`, `resource_exhausted`.
  static Expected<SafetensorsWriter> create(const std::filesystem::path& path,
                                            std::vector<ArraySpec> arrays);
  SafetensorsWriter(SafetensorsWriter&& other) noexcept;
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  ~SafetensorsWriter();

  /// Writes elements of arrays[`array`] from element `first` on; must stay inside the array.
  /// *Threading*: any, ranges disjoint.
  Expected<void> write(std::size_t array, std::uint64_t first, std::span<const std::byte> bytes);
  /// Syncs and renames; the last call.
  Expected<void> commit();

 private:
  explicit SafetensorsWriter(const std::filesystem::path& path) : output_(path) {}

  ResultFile output_;
  int file_ = -1;
  std::vector<ArraySpec> arrays_;
  std::vector<std::uint64_t> begins_;  // file offset of each array, and the end of the last
};

}  // namespace troupe::services
