// Chat messages to prompts: the model's template (or a file) and the tokenizer together.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/chat/answer/answer_format.hpp"
#include "model/chat/chat_template.hpp"
#include "model/chat/eval_messages.hpp"
#include "model/tokenizer/eval_lines.hpp"
#include "model/tokenizer/tokenizer.hpp"

namespace troupe::services {

/// A call of a function that an assistant has made.
struct ChatToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // a JSON object, as the model wrote it
};

struct ChatMessage {
  std::string role;
  std::string content;
  std::string name = {};  // left out when empty
  std::vector<ChatToolCall> tool_calls = {};
  std::string tool_call_id = {};  // of a result: the call it answers; left out when empty
};

/// How a template wants a call's arguments: most write out the text that they are given; some turn
/// an object into text themselves.
enum class ArgumentsForm : std::uint8_t { text, object };

/// JSON array of {"role", "content"[, "name"][, "tool_calls"][, "tool_call_id"]}. Content beside
/// calls is null when it is empty, as OpenAI's API has it and templates ask.
std::string messages_json(const std::vector<ChatMessage>& messages,
                          ArgumentsForm arguments = ArgumentsForm::text);

/// What a conversation is rendered from. Texts stay the caller's.
struct ChatTurns {
  const std::vector<ChatMessage>& messages;
  std::string_view tools_json = {};      // array of tools, or empty
  std::string_view variables_json = {};  // further variables of the template, an object or empty
  bool add_generation_prompt = true;
};

/// *Threading*: const calls from any thread. The tokenizer must outlive it.
class ChatPrompt {
 public:
  /// The template in `template_file`, or the tokenizer's own when that is empty.
  /// *Errors*: `not_found` without a template; those of reading and parsing, with the file's name.
  static Expected<ChatPrompt> load(const model::Tokenizer& tokenizer,
                                   const std::filesystem::path& template_file);

  /// The rendered messages; text of messages never becomes an added token.
  /// *Errors*: those of the template and the tokenizer.
  Expected<model::EncodedChat> encode(const ChatTurns& turns) const;
  /// The same without encoding it. *Errors*: those of the template.
  Expected<std::string> render(const ChatTurns& turns) const;
  Expected<model::EncodedChat> encode(const std::vector<ChatMessage>& messages,
                                      std::string_view variables_json,
                                      bool add_generation_prompt = true) const {
    return encode(ChatTurns{messages, {}, variables_json, add_generation_prompt});
  }
  /// How answers to these prompts write thoughts and calls.
  const model::AnswerFormat& answer_format() const { return format_; }

 private:
  ChatPrompt(const model::Tokenizer& tokenizer, model::ChatTemplate parsed,
             std::string_view source);

  const model::Tokenizer* tokenizer_;
  model::ChatTemplate template_;
  model::AnswerFormat format_;
  ArgumentsForm arguments_ = ArgumentsForm::text;
};

/// Renders the {"messages"} lines of `troupe eval tokenizer`. Empty when there is no template.
/// *Errors*: those of reading and parsing the template.
Expected<model::ChatRenderer> line_renderer(const model::Tokenizer& tokenizer,
                                            const std::filesystem::path& template_file);

}  // namespace troupe::services
