// Chat messages to prompts: the model's template (or a file) and the tokenizer together.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/chat/chat_template.hpp"
#include "model/chat/eval_messages.hpp"
#include "model/tokenizer/eval_lines.hpp"
#include "model/tokenizer/tokenizer.hpp"

namespace troupe::services {

struct ChatMessage {
  std::string role;
  std::string content;
  std::string name = {};  // left out when empty
};

/// JSON array of {"role", "content"[, "name"]}.
std::string messages_json(const std::vector<ChatMessage>& messages);

/// *Threading*: const calls from any thread. The tokenizer must outlive it.
class ChatPrompt {
 public:
  /// The template in `template_file`, or the tokenizer's own when that is empty.
  /// *Errors*: `not_found` without a template; those of reading and parsing, with the file's name.
  static Expected<ChatPrompt> load(const model::Tokenizer& tokenizer,
                                   const std::filesystem::path& template_file);

  /// The rendered messages; text of messages never becomes an added token. `variables_json`:
  /// further variables of the template, an object or empty.
  /// *Errors*: those of the template and the tokenizer.
  Expected<model::EncodedChat> encode(const std::vector<ChatMessage>& messages,
                                      std::string_view variables_json,
                                      bool add_generation_prompt = true) const;

 private:
  ChatPrompt(const model::Tokenizer& tokenizer, model::ChatTemplate parsed)
      : tokenizer_(&tokenizer), template_(std::move(parsed)) {}

  const model::Tokenizer* tokenizer_;
  model::ChatTemplate template_;
};

/// Renders the {"messages"} lines of `troupe eval tokenizer`. Empty when there is no template.
/// *Errors*: those of reading and parsing the template.
Expected<model::ChatRenderer> line_renderer(const model::Tokenizer& tokenizer,
                                            const std::filesystem::path& template_file);

}  // namespace troupe::services
