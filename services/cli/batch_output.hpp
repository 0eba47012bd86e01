// The answers of a batch: appended one whole line at a time, and known again after a crash.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/expected.hpp"
#include "services/cli/batch_input.hpp"

namespace troupe::services {

/// {"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error"}: one answer.
/// `body_json` is on one line.
struct BatchAnswer {
  std::uint64_t line = 0;
  std::string custom_id;  // empty: null
  int status = 0;         // 0: no response but an error
  std::string request_id;
  std::string body_json;
  std::string error_code, error_message;

  std::string to_line() const;
};

/// A line is one write at the file's end, so a kill leaves whole lines and at most one torn one,
/// which `open` takes away. The file is synced to disk once a second and at the end: a power loss
/// costs the answers of the last second, which are asked again. *Threading*: one thread at a time.
class BatchOutput {
 public:
  /// Opens or creates `file` and reads which lines of the batch it answers already. Nobody else may
  /// have it open as a batch's output. *Errors*: `unavailable` when somebody has; `malformed`
  /// naming a line that is no answer of this batch; as `model::os_error`.
  static Expected<BatchOutput> open(const std::filesystem::path& file,
                                    std::span<const BatchLineId> batch);
  BatchOutput(BatchOutput&& other) noexcept;
  BatchOutput(const BatchOutput&) = delete;
  ~BatchOutput();

  /// Numbers of the lines that were answered before, ascending.
  const std::vector<std::uint64_t>& answered() const { return answered_; }
  /// Of them, how many did not go well.
  std::uint64_t failed_before() const { return failed_before_; }
  /// Whether a torn line was taken away.
  bool repaired() const { return repaired_; }

  Expected<void> append(const BatchAnswer& answer);
  /// To the disk.
  Expected<void> sync();

 private:
  BatchOutput(int descriptor, std::filesystem::path file)
      : descriptor_(descriptor), file_(std::move(file)) {}
  Expected<void> read_answers(std::span<const BatchLineId> batch);

  int descriptor_ = -1;
  std::filesystem::path file_;
  std::vector<std::uint64_t> answered_;
  std::uint64_t failed_before_ = 0;
  bool repaired_ = false;
  std::chrono::steady_clock::time_point synced_ = std::chrono::steady_clock::now();
};

}  // namespace troupe::services
