// Tokens of one answer as they look on stdout: text, or their ids with spaces between.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/tokenizer/detokenizer.hpp"

namespace troupe::services {

class TokenText {
 public:
  /// Without a tokenizer, ids. Special tokens and `hidden` ones (stop ids) show nothing as text.
  TokenText(const model::Tokenizer* tokenizer, std::vector<std::int32_t> hidden);
  std::string push(std::int32_t token);
  std::string finish();

 private:
  std::optional<model::Detokenizer> detokenizer_;
  std::vector<std::int32_t> hidden_;
  bool first_ = true;
};

}  // namespace troupe::services
