// Detokenizing, or printing ids.
#include "services/cli/token_text.hpp"

#include <algorithm>
#include <utility>

namespace troupe::services {

TokenText::TokenText(const model::Tokenizer* tokenizer, std::vector<std::int32_t> hidden)
    : hidden_(std::move(hidden)) {
  if (tokenizer != nullptr) detokenizer_.emplace(*tokenizer, true);
}

std::string TokenText::push(std::int32_t token) {
  if (!detokenizer_) {
    std::string id = std::exchange(first_, false) ? "" : " ";
    return id.append(std::to_string(token));
  }
  const bool hidden = std::find(hidden_.begin(), hidden_.end(), token) != hidden_.end();
  return hidden ? "" : detokenizer_->push(token);
}

std::string TokenText::finish() { return detokenizer_ ? detokenizer_->finish() : ""; }

}  // namespace troupe::services
