// Conversations to JSON and back.
#include "services/cli/chat_file.hpp"

#include <fstream>

#include "model/config/json_value.hpp"
#include "services/cli/input_file.hpp"
#include "services/cli/result_file.hpp"

namespace troupe::services {
namespace {

constexpr std::uint64_t kBytesMax = std::uint64_t{256} << 20;

Unexpected wrong(const std::filesystem::path& file, const std::string& what) {
  return unexpected(Errc::malformed, file.string() + ": " + what);
}

Expected<std::string> text_member(const model::JsonValue& message, const char* key) {
  const model::JsonValue* value = message.find(key);
  const std::string* text = value == nullptr ? nullptr : value->string();
  if (text == nullptr) return unexpected(Errc::malformed, std::string(key) + " is no text");
  return *text;
}

/// As messages_json() writes them.
Expected<std::vector<ChatToolCall>> calls_of(const model::JsonValue& message) {
  std::vector<ChatToolCall> calls;
  const model::JsonValue* list = message.find("tool_calls");
  if (list == nullptr) return calls;
  if (list->array() == nullptr) return unexpected(Errc::malformed, "tool_calls is no list");
  for (const model::JsonValue& one : *list->array()) {
    const std::string where = "tool_calls[" + std::to_string(calls.size()) + "].";
    const model::JsonValue* function = one.find("function");
    if (function == nullptr) return unexpected(Errc::malformed, where + "function is absent");
    auto id = text_member(one, "id");
    if (!id) return unexpected(Errc::malformed, where + id.error().detail);
    ChatToolCall& call = calls.emplace_back();
    call.id = *std::move(id);
    for (auto [key, target] :
         {std::pair{"name", &call.name}, std::pair{"arguments", &call.arguments}}) {
      auto text = text_member(*function, key);
      if (!text) return unexpected(Errc::malformed, where + "function." + text.error().detail);
      *target = *std::move(text);
    }
  }
  return calls;
}

Expected<ChatMessage> message_of(const model::JsonValue& one) {
  auto role = text_member(one, "role");
  if (!role) return unexpected(std::move(role).error());
  auto calls = calls_of(one);
  if (!calls) return unexpected(std::move(calls).error());
  const model::JsonValue* said = one.find("content");
  const bool silent = !calls->empty() && (said == nullptr || said->is_null());
  auto content = silent ? Expected<std::string>("") : text_member(one, "content");
  if (!content) return unexpected(std::move(content).error());
  return ChatMessage{*std::move(role), *std::move(content), text_member(one, "name").value_or(""),
                     *std::move(calls), text_member(one, "tool_call_id").value_or("")};
}

}  // namespace

Expected<void> save_chat(const std::filesystem::path& file,
                         const std::vector<ChatMessage>& messages) {
  ResultFile result(file);
  std::ofstream out(result.written_path(), std::ios::binary | std::ios::trunc);
  out << "{\"messages\": " << messages_json(messages) << "}\n";
  out.close();
  if (!out) return unexpected(Errc::io, "cannot write " + file.string() + ". Name another file");
  return result.commit();
}

Expected<std::vector<ChatMessage>> load_chat(const std::filesystem::path& file) {
  const auto text = read_input(file, kBytesMax);
  if (!text) return unexpected(text.error());
  const auto json = model::parse_json(*text);
  if (!json) return wrong(file, json.error().detail);
  const model::JsonValue* list = json->find("messages");
  if (list == nullptr || list->array() == nullptr) {
    return wrong(file, "there is no list \"messages\". /save writes such a file");
  }
  std::vector<ChatMessage> messages;
  for (const model::JsonValue& one : *list->array()) {
    auto message = message_of(one);
    if (!message) {
      return wrong(file,
                   "messages[" + std::to_string(messages.size()) + "]: " + message.error().detail);
    }
    messages.push_back(*std::move(message));
  }
  return messages;
}

}  // namespace troupe::services
