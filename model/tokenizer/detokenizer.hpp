// Turns generated ids into text as they come, never emitting half a character.
#pragma once
#include <cstdint>
#include <string>

#include "model/tokenizer/tokenizer.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::model {

/// The text of one sequence of tokens. What the pushes return, joined, plus finish() equals
/// `Tokenizer::decode` of the ids. Threading: one thread at a time.
class Detokenizer {
 public:
  /// `tokenizer` must outlive this.
  explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special = false)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  /// The characters that became complete, and U+FFFD for bytes that now are known to be no
  /// character.
  std::string push(std::int32_t id);
  /// U+FFFD for a character that stayed incomplete; then starts afresh.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  Utf8Assembler assembler_;
};

}  // namespace troupe::model
