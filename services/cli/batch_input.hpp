// The lines of a batch: read one at a time, checked, and known by their custom_id.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "core/expected.hpp"

namespace troupe::services {

/// {"custom_id", "method": "POST", "url", "body"} as OpenAI's batch files have it.
struct BatchLine {
  std::uint64_t number = 0;  // from 1; blank lines count and are left out
  std::string custom_id;     // empty: the line has none that can be used
  std::string url;
  std::string body;     // a JSON object
  std::string problem;  // not empty: the line cannot be asked
};

inline constexpr std::size_t kBatchLineBytesMax = std::size_t{64} << 20;

/// Reads a file from its begin. *Threading*: one thread.
class BatchReader {
 public:
  /// *Errors*: `not_found` or `io` with the file's name.
  static Expected<BatchReader> open(const std::filesystem::path& file);

  /// The next line that is not blank; nothing at the end. A line that cannot be asked is one, too.
  std::optional<BatchLine> next();

 private:
  explicit BatchReader(std::ifstream file) : file_(std::move(file)) {}
  /// False at the end; `problem` when the line is too long, which is skipped.
  bool read_line(std::string& text, std::string& problem);

  std::ifstream file_;
  std::uint64_t number_ = 0;
};

/// What is kept of a line while a batch runs: enough to know it again, 24 bytes.
struct BatchLineId {
  std::uint64_t number = 0;
  std::array<std::uint64_t, 2> custom_id{};  // of SHA-256; 0: none
};

std::array<std::uint64_t, 2> custom_id_digest(const std::string& custom_id);

/// Reads all of `file`. *Errors*: those of `open`; `invalid_argument` that names both lines when a
/// custom_id occurs twice.
Expected<std::vector<BatchLineId>> index_batch(const std::filesystem::path& file);

}  // namespace troupe::services
