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

}  // namespace

std::string messages_json(const std::vector<ChatMessage>& messages) {
  std::string json = "[";
  for (const ChatMessage& message : messages) {
    if (json.size() > 1) json += ",";
    json += "{\"role\":" + model::quote_json(message.role) +
            ",\"content\":" + model::quote_json(message.content);
    if (!message.name.empty()) json += ",\"name\":" + model::quote_json(message.name);
    json += "}";
  }
  return json + "]";
}

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
  return ChatPrompt(tokenizer, *std::move(parsed));
}

Expected<model::EncodedChat> ChatPrompt::encode(const std::vector<ChatMessage>& messages,
                                                std::string_view variables_json,
                                                bool add_generation_prompt) const {
  const std::string text = messages_json(messages);
  model::ChatRequest request;
  request.messages_json = text;
  request.variables_json = variables_json;
  request.add_generation_prompt = add_generation_prompt;
  request.local_time = local_time();
  return model::encode_chat(template_, *tokenizer_, std::move(request));
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
