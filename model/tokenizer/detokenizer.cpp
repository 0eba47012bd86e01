// Detokenizer: the bytes of each token through a Utf8Assembler.
#include "model/tokenizer/detokenizer.hpp"

namespace troupe::model {

std::string Detokenizer::push(std::int32_t id) {
  std::string text;
  if (skip_special_ && tokenizer_->is_special(id)) return text;
  assembler_.push(tokenizer_->bytes_of(id), text);
  return text;
}

std::string Detokenizer::finish() {
  std::string text;
  assembler_.finish(text);
  return text;
}

}  // namespace troupe::model
