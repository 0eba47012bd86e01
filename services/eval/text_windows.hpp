// A text's ids cut into prompts that are computed each by itself.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/tokenizer/tokenizer.hpp"

namespace troupe::services {

struct WindowShape {
  std::int64_t length = 512;                     // ids of a window, BOS included; at least 2
  std::optional<std::int32_t> bos = {};          // in front of each window
  std::optional<std::int64_t> windows_max = {};  // the first so many only
};

/// Consecutive windows, none overlapping; the last may be shorter. Scored are the ids that have
/// something before them in their window: behind BOS all of them, else all but its first.
class TextWindows {
 public:
  TextWindows(std::vector<std::int32_t> ids, WindowShape shape);

  std::size_t count() const { return count_; }
  /// Ids that are scored in all windows.
  std::int64_t scored() const { return scored_; }
  /// The prompt of window `i`; position k + 1 is what the logits of position k are scored by.
  std::vector<std::int32_t> window(std::size_t i) const;

 private:
  std::span<const std::int32_t> text_of(std::size_t i) const;

  std::vector<std::int32_t> ids_;
  WindowShape shape_;
  std::size_t count_ = 0;
  std::int64_t scored_ = 0;
};

/// Says how two tokenizers differ ("id 17 is \"a\" and \"b\""), or nothing when every id means the
/// same bytes in both.
std::optional<std::string> tokenizer_difference(const model::Tokenizer& a,
                                                const model::Tokenizer& b);

}  // namespace troupe::services
