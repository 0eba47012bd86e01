// One safetensors file: its header, fully validated, and its bytes, mapped read-only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "core/expected.hpp"
#include "model/checkpoint/mapped_files.hpp"

namespace troupe::model {

/// One header entry. `begin` and `end` count from the first byte after the header.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  // empty: a scalar
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::uint64_t data_start = 0;           // 8 + header bytes
  std::vector<SafetensorsEntry> entries;  // ascending by begin
};

inline constexpr std::uint64_t kSafetensorsHeaderBytesMax = 100'000'000;

/// Parses the start of a file that is `file_bytes` long; `first_bytes` must reach to the end of the
/// header. On success the entries tile the rest of the file: no gap, no overlap, no byte left over,
/// and each one's size is its shape's product times its dtype's bytes.
/// *Errors*: `truncated` when the file or `first_bytes` ends early, `unsupported` for an unknown
/// dtype, else `malformed`; each names the tensor where there is one, never the file.
/// *Source*: specification 2.7.
Expected<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> first_bytes,
                                                     std::uint64_t file_bytes);

/// A mapped file and its header. Tensors may start at any byte offset.
class SafetensorsFile {
 public:
  /// *Errors*: as `MappedFile::open` and `parse_safetensors_header`, with the file's path.
  static Expected<SafetensorsFile> open(const std::filesystem::path& path);

  const SafetensorsHeader& header() const { return header_; }
  /// Length prefix and JSON text.
  std::span<const std::byte> header_bytes() const;
  std::span<const std::byte> data(const SafetensorsEntry& entry) const;
  const std::string& path() const { return mapping_.path(); }
  const MappedFile& mapping() const { return mapping_; }
  /// Lets the kernel take the file's pages back; reading them again reads the file.
  void forget_pages() const { mapping_.forget_pages(); }

 private:
  SafetensorsFile(MappedFile mapping, SafetensorsHeader header)
      : mapping_(std::move(mapping)), header_(std::move(header)) {}
  MappedFile mapping_;
  SafetensorsHeader header_;
};

}  // namespace troupe::model
