// Token texts and their ids, both ways.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"

namespace troupe::model {

/// A bijection between token texts and ids; ids may have gaps. Texts lie one after the other in one
/// string, and the hash table holds ids only: 128,000 tokens cost about 4 MB and 10 ms.
class Vocabulary {
 public:
  /// Ids from this on are refused (published vocabularies have up to 262,144), so that a wrong
  /// digit in a file cannot ask for gigabytes.
  static constexpr std::int64_t kIdEnd = 1 << 20;

  /// Errors: malformed when the text or the id is taken, or the text is empty; out_of_range.
  Expected<void> add(std::string_view text, std::int64_t id);

  std::optional<std::int32_t> id_of(std::string_view text) const;
  /// Nothing for ids without a token.
  std::optional<std::string_view> text_of(std::int32_t id) const;
  /// One past the highest id.
  std::int32_t id_end() const { return static_cast<std::int32_t>(by_id_.size()); }
  std::size_t tokens() const { return tokens_; }

 private:
  struct Span {
    std::uint32_t begin = 0;
    std::uint32_t bytes = 0;  // 0: no token has this id
  };
  std::string_view text_at(std::int32_t id) const;
  std::size_t slot_of(std::string_view text) const;
  void grow();

  std::string chars_;
  std::vector<Span> by_id_;
  std::vector<std::int32_t> slots_;  // open addressing, power-of-two size, -1 is empty
  std::size_t tokens_ = 0;
};

}  // namespace troupe::model
