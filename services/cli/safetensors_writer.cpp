// Header, positioned writes and the atomic rename of an output file.
#include "services/cli/safetensors_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "model/checkpoint/files.hpp"
#include "model/config/json_value.hpp"

namespace troupe::services {
namespace {

std::uint64_t elements(const ArraySpec& spec) {
  std::uint64_t count = 1;
  for (const std::int64_t extent : spec.shape) count *= static_cast<std::uint64_t>(extent);
  return count;
}

/// JSON header padded with spaces to a multiple of 8, with `begins` relative to the data's start.
std::string header_of(const std::vector<ArraySpec>& arrays, std::vector<std::uint64_t>& begins) {
  std::string json = "{";
  std::uint64_t offset = 0;
  for (const ArraySpec& spec : arrays) {
    begins.push_back(offset);
    if (json.size() > 1) json += ",";
    json += model::quote_json(spec.name) + ":{\"dtype\":\"" + std::string(to_string(spec.dtype)) +
            "\",\"shape\":[";
    for (std::size_t i = 0; i < spec.shape.size(); ++i) {
      if (i > 0) json += ",";
      json += std::to_string(spec.shape[i]);
    }
    json += "],\"data_offsets\":[" + std::to_string(offset) + ",";
    offset += elements(spec) * bytes_of(spec.dtype);
    json += std::to_string(offset) + "]}";
  }
  begins.push_back(offset);
  json += "}";
  json.append((8 - json.size() % 8) % 8, ' ');
  return json;
}

Expected<void> write_at(int file, std::span<const std::byte> bytes, std::uint64_t offset,
                        const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ::ssize_t written =
        ::pwrite(file, bytes.data(), bytes.size(), static_cast<::off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return unexpected(model::os_error("write", path, errno));
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

}  // namespace

Expected<SafetensorsWriter> SafetensorsWriter::create(const std::filesystem::path& path,
                                                      std::vector<ArraySpec> arrays) {
  SafetensorsWriter writer(path);
  const std::filesystem::path& part = writer.output_.written_path();
  const std::string header = header_of(arrays, writer.begins_);
  writer.arrays_ = std::move(arrays);
  writer.file_ = ::open(part.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
  if (writer.file_ < 0) return unexpected(model::os_error("create", part, errno));

  static_assert(std::endian::native == std::endian::little, "lengths are written as they lie");
  const std::uint64_t header_bytes = header.size();
  for (std::uint64_t& begin : writer.begins_) begin += sizeof(header_bytes) + header_bytes;
  std::string start(sizeof(header_bytes), '\0');
  std::memcpy(start.data(), &header_bytes, sizeof(header_bytes));
  start += header;
  if (auto written = write_at(writer.file_, std::as_bytes(std::span(start)), 0, part); !written) {
    return unexpected(written.error());
  }
  if (::ftruncate(writer.file_, static_cast<::off_t>(writer.begins_.back())) != 0) {
    return unexpected(model::os_error("extend", part, errno));
  }
  return writer;
}

SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&& other) noexcept
    : output_(std::move(other.output_)),
      file_(std::exchange(other.file_, -1)),
      arrays_(std::move(other.arrays_)),
      begins_(std::move(other.begins_)) {}

SafetensorsWriter::~SafetensorsWriter() {
  if (file_ >= 0) ::close(file_);
}

Expected<void> SafetensorsWriter::write(std::size_t array, std::uint64_t first,
                                        std::span<const std::byte> bytes) {
  TROUPE_CHECK(array < arrays_.size(), std::to_string(array));
  const std::uint64_t offset = begins_[array] + first * bytes_of(arrays_[array].dtype);
  TROUPE_CHECK(offset + bytes.size() <= begins_[array + 1], arrays_[array].name);
  return write_at(file_, bytes, offset, output_.written_path());
}

Expected<void> SafetensorsWriter::commit() {
  if (::fsync(file_) != 0) {
    return unexpected(model::os_error("sync", output_.written_path(), errno));
  }
  ::close(std::exchange(file_, -1));
  return output_.commit();
}

}  // namespace troupe::services
