// Validates safetensors headers entry by entry, then as a tiling of the file.
#include "model/checkpoint/safetensors.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "model/checkpoint/files.hpp"
#include "model/config/json_value.hpp"

namespace troupe::model {
namespace {

constexpr std::uint64_t kPrefixBytes = 8;
constexpr std::size_t kRankMax = 8;

Unexpected entry_error(Errc code, std::string_view tensor, const std::string& why) {
  return unexpected(code, "tensor " + quote_json(tensor) + ": " + why);
}

/// A member that must be a non-negative whole number.
std::optional<std::uint64_t> count(const JsonValue& value) {
  const auto integer = value.integer();
  if (!integer || *integer < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*integer);
}

Expected<std::vector<std::int64_t>> read_shape(std::string_view tensor, const JsonValue* shape) {
  if (shape == nullptr || shape->array() == nullptr)
    return entry_error(Errc::malformed, tensor, "shape is missing or not a list");
  if (shape->array()->size() > kRankMax)
    return entry_error(Errc::malformed, tensor,
                       "more than " + std::to_string(kRankMax) + " dimensions");
  std::vector<std::int64_t> dims;
  for (const JsonValue& dim : *shape->array()) {
    if (!count(dim))
      return entry_error(Errc::malformed, tensor,
                         "dimension " + to_json(dim) + " is not a whole number from 0");
    dims.push_back(*dim.integer());
  }
  return dims;
}

Expected<void> read_offsets(const JsonValue* offsets, SafetensorsEntry& entry) {
  const JsonValue::Array* pair = offsets == nullptr ? nullptr : offsets->array();
  if (pair == nullptr || pair->size() != 2)
    return entry_error(Errc::malformed, entry.name, "data_offsets is not a list of two");
  const auto begin = count((*pair)[0]);
  const auto end = count((*pair)[1]);
  if (!begin || !end || *begin > *end)
    return entry_error(Errc::malformed, entry.name,
                       "data_offsets " + to_json(*offsets) + " are not an ascending range");
  entry.begin = *begin;
  entry.end = *end;
  return {};
}

/// Bytes of a tensor, or nothing if they do not fit 64 bits.
std::optional<std::uint64_t> bytes_of_shape(DType dtype, const std::vector<std::int64_t>& shape) {
  std::uint64_t bytes = bytes_of(dtype);
  for (const std::int64_t dim : shape)
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(dim), &bytes)) return std::nullopt;
  return bytes;
}

Expected<SafetensorsEntry> read_entry(const JsonMember& member) {
  SafetensorsEntry entry;
  entry.name = member.key;
  const JsonValue* dtype = member.value.find("dtype");
  if (dtype == nullptr || dtype->string() == nullptr)
    return entry_error(Errc::malformed, entry.name, "dtype is missing or not a string");
  const Expected<DType> known = parse_dtype(*dtype->string());
  if (!known) return entry_error(known.error().code, entry.name, known.error().detail);
  entry.dtype = *known;
  Expected<std::vector<std::int64_t>> shape = read_shape(entry.name, member.value.find("shape"));
  if (!shape) return unexpected(shape.error());
  entry.shape = *std::move(shape);
  if (const auto read = read_offsets(member.value.find("data_offsets"), entry); !read)
    return unexpected(read.error());
  const auto bytes = bytes_of_shape(entry.dtype, entry.shape);
  if (bytes != entry.end - entry.begin)
    return entry_error(Errc::malformed, entry.name,
                       "data_offsets span " + std::to_string(entry.end - entry.begin) +
                           " bytes, but the shape needs " +
                           (bytes ? std::to_string(*bytes) : "more than 64 bits can count"));
  return entry;
}

Expected<void> check_metadata(const JsonValue& metadata) {
  if (metadata.object() == nullptr)
    return unexpected(Errc::malformed, "__metadata__ is not an object");
  for (const JsonMember& member : *metadata.object())
    if (member.value.string() == nullptr)
      return unexpected(Errc::malformed,
                        "__metadata__." + quote_json(member.key) + " is not a string");
  return {};
}

/// The entries, ordered by offset, must follow each other and end where the file does.
Expected<void> check_tiling(std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t expected = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != expected)
      return entry_error(Errc::malformed, entry.name,
                         "its data begin at " + std::to_string(entry.begin) +
                             (entry.begin < expected ? ", overlapping the tensor before, which "
                                                     : ", leaving a gap after the tensor that ") +
                             "ends at " + std::to_string(expected));
    if (entry.end > data_bytes)
      return entry_error(Errc::truncated, entry.name,
                         "its data end at " + std::to_string(entry.end) + ", but the file has " +
                             std::to_string(data_bytes) + " bytes of data; it is truncated");
    expected = entry.end;
  }
  if (expected != data_bytes)
    return unexpected(Errc::malformed,
                      std::to_string(data_bytes - expected) + " bytes follow the last tensor");
  return {};
}

std::uint64_t read_le64(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < kPrefixBytes; ++i)
    value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  return value;
}

/// The JSON text of the header, its length checked against everything known.
Expected<std::string_view> header_text(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  if (bytes.size() < kPrefixBytes || file_bytes < kPrefixBytes)
    return unexpected(Errc::truncated, "shorter than the 8 bytes of a header length");
  const std::uint64_t length = read_le64(bytes);
  if (length > kSafetensorsHeaderBytesMax)
    return unexpected(Errc::malformed, "header length " + std::to_string(length) + " exceeds " +
                                           std::to_string(kSafetensorsHeaderBytesMax) +
                                           "; this is no safetensors file");
  if (length > file_bytes - kPrefixBytes || length > bytes.size() - kPrefixBytes)
    return unexpected(Errc::truncated, "the header has " + std::to_string(length) +
                                           " bytes, but the file ends before; it is truncated");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefixBytes, length);
  if (text.empty() || text.front() != '{')
    return unexpected(Errc::malformed, "the header does not begin with {");
  return text;
}

}  // namespace

Expected<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> first_bytes,
                                                     std::uint64_t file_bytes) {
  const Expected<std::string_view> text = header_text(first_bytes, file_bytes);
  if (!text) return unexpected(text.error());
  Expected<JsonValue> root = parse_json(*text, {.depth_max = 4});
  if (!root) return unexpected(root.error().code, "header: " + root.error().detail);
  if (root->object() == nullptr) return unexpected(Errc::malformed, "the header is not an object");
  SafetensorsHeader header;
  header.data_start = kPrefixBytes + text->size();
  for (const JsonMember& member : *root->object()) {
    if (member.key == "__metadata__") {
      if (const auto fine = check_metadata(member.value); !fine) return unexpected(fine.error());
      continue;
    }
    Expected<SafetensorsEntry> entry = read_entry(member);
    if (!entry) return unexpected(entry.error());
    header.entries.push_back(*std::move(entry));
  }
  const auto tiled = check_tiling(header.entries, file_bytes - header.data_start);
  if (!tiled) return unexpected(tiled.error());
  return header;
}

Expected<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  Expected<MappedFile> mapping = MappedFile::open(path);
  if (!mapping) return unexpected(mapping.error());
  const auto bytes = mapping->bytes();
  Expected<SafetensorsHeader> header = parse_safetensors_header(bytes, bytes.size());
  if (!header) return at(path, header.error());
  return SafetensorsFile(*std::move(mapping), *std::move(header));
}

std::span<const std::byte> SafetensorsFile::header_bytes() const {
  return mapping_.bytes().first(header_.data_start);
}

std::span<const std::byte> SafetensorsFile::data(const SafetensorsEntry& entry) const {
  return mapping_.bytes().subspan(header_.data_start + entry.begin, entry.end - entry.begin);
}

}  // namespace troupe::model
