// Reads tokenizer_config.json and chat_template.jinja, the settings beside the vocabulary.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/expected.hpp"

namespace troupe::model {

struct TokenizerConfig {
  /// Whether raw text (not a rendered chat) gets BOS in front. Missing means true: DeepSeek's
  /// LlamaTokenizerFast prepends it (spec 7.1).
  bool add_bos_token = true;
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> chat_template;
  /// File that the template comes from, for messages: "chat_template.jinja" or
  /// "tokenizer_config.json"; empty without a template.
  std::string chat_template_file;

  /// The contents of tokenizer_config.json. Of a list of named templates "default" is taken.
  /// Errors: malformed, with the key.
  static Expected<TokenizerConfig> parse(std::string_view json);

  /// Reads `dir`; both files may be missing. chat_template.jinja wins over the configuration's own.
  /// Errors: io when a file is there but cannot be read; malformed with file and key.
  static Expected<TokenizerConfig> load(const std::filesystem::path& dir);
};

}  // namespace troupe::model
