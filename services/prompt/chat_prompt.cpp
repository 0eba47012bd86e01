// Loads templates, builds their input and encodes their output.
#include "services/prompt/chat_prompt.hpp"

#include <ctime>

#include "model/checkpoint/files.hpp"
#include "model/config/json_value.hpp"

namespace troupe::services {
namespace {

constexpr std::uint64_t kTemplateBytesMax = 1 << 20;

/// Seconds since 1970 as a clock on the wall shows them.
std::int64_t local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  return static_cast<std::int64_t>(now) + parts.tm_gmtoff;
}

Expected<std::string> read_template(const std::filesystem::path& file) {
  return model::read_text_file(file, kTemplateBytesMax);
}

std::string calls_json(const std::vector<ChatToolCall>& calls, ArgumentsForm form) {
  std::string json = "[";
  for (const ChatToolCall& call : calls) {
    if (json.size() > 1) json += ",";
    const bool object = form == ArgumentsForm::object && model::parse_json(call.arguments);
    json += "{\"id\":" + model::quote_json(call.id) +
            ",\"type\":\"function\",\"function\":{\"name\":" + model::quote_json(call.name) +
            ",\"arguments\":" + (object ? call.arguments : model::quote_json(call.arguments)) +
            "}}";
  }
  return json + "]";
}

/// A template that says ...['arguments'] | tojson encodes what it is given: a text would become a
/// text within a text.
ArgumentsForm arguments_form_of(std::string_view source) {
  constexpr std::string_view kName = "arguments";
  for (auto at = source.find(kName); at != source.npos; at = source.find(kName, at + 1)) {
    const auto filter = source.find_first_not_of("'\"]) \t", at + kName.size());
    if (filter == source.npos || source[filter] != '|') continue;
    const auto name = source.find_first_not_of(" \t", filter + 1);
    if (name != source.npos && source.substr(name).starts_with("tojson"))
      return ArgumentsForm::object;
  }
  return ArgumentsForm::text;
}

/// `messages` has to outlive what is given.
model::ChatRequest request_for(const ChatTurns& turns, std::string_view messages) {
  model::ChatRequest request;
  request.messages_json = messages;
  request.tools_json = turns.tools_json;
  request.variables_json = turns.variables_json;
  request.add_generation_prompt = turns.add_generation_prompt;
  request.local_time = local_time();
  return request;
}

}  // namespace

std::string messages_json(const std::vector<ChatMessage>& messages, ArgumentsForm arguments) {
  std::string json = "[";
  for (const ChatMessage& message : messages) {
    if (json.size() > 1) json += ",";
    const bool silent = message.content.empty() && !message.tool_calls.empty();
    json += "{\"role\":" + model::quote_json(message.role) +
            ",\"content\":" + (silent ? "null" : model::quote_json(message.content));
    if (!message.name.empty()) json += ",\"name\":" + model::quote_json(message.name);
    if (!message.tool_calls.empty())
      json += ",\"tool_calls\":" + calls_json(message.tool_calls, arguments);
    if (!message.tool_call_id.empty())
      json += ",\"tool_call_id\":" + model::quote_json(message.tool_call_id);
    json += "}";
  }
  return json + "]";
}

ChatPrompt::ChatPrompt(const model::Tokenizer& tokenizer, model::ChatTemplate parsed,
                       std::string_view source)
    : tokenizer_(&tokenizer),
      template_(std::move(parsed)),
      format_(model::answer_format_of(source)),
      arguments_(arguments_form_of(source)) {}

Expected<ChatPrompt> ChatPrompt::load(const model::Tokenizer& tokenizer,
                                      const std::filesystem::path& template_file) {
  std::string source;
  std::string name = template_file.string();
  if (!template_file.empty()) {
    auto text = read_template(template_file);
    if (!text) return unexpected(text.error());
    source = *std::move(text);
  } else if (tokenizer.config().chat_template) {
    source = *tokenizer.config().chat_template;
    name = tokenizer.config().chat_template_file;
  } else {
    return unexpected(Errc::not_found,
                      "the model has no chat template. Name one with --chat-template FILE, or "
                      "complete raw text with `troupe run`");
  }
  auto parsed = model::ChatTemplate::parse(source);
  if (!parsed) return model::at("chat template " + name, parsed.error());
  return ChatPrompt(tokenizer, *std::move(parsed), source);
}

Expected<model::EncodedChat> ChatPrompt::encode(const ChatTurns& turns) const {
  const std::string messages = messages_json(turns.messages, arguments_);
  return model::encode_chat(template_, *tokenizer_, request_for(turns, messages));
}

Expected<std::string> ChatPrompt::render(const ChatTurns& turns) const {
  const std::string messages = messages_json(turns.messages, arguments_);
  auto prompt = model::render_chat(template_, *tokenizer_, request_for(turns, messages));
  if (!prompt) return unexpected(std::move(prompt).error());
  return std::move(prompt->text);
}

Expected<model::ChatRenderer> line_renderer(const model::Tokenizer& tokenizer,
                                            const std::filesystem::path& template_file) {
  model::TokenizerConfig config = tokenizer.config();
  if (!template_file.empty()) {
    auto source = read_template(template_file);
    if (!source) return unexpected(std::move(source).error());
    config.chat_template = *std::move(source);
    config.chat_template_file = template_file.string();
  }
  return model::make_chat_renderer(config);
}

}  // namespace troupe::services
