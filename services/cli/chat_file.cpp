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
    const std::string where = "messages[" + std::to_string(messages.size()) + "]: ";
    auto role = text_member(one, "role");
    if (!role) return wrong(file, where + role.error().detail);
    auto content = text_member(one, "content");
    if (!content) return wrong(file, where + content.error().detail);
    messages.push_back({*std::move(role), *std::move(content)});
    if (one.find("name") != nullptr) messages.back().name = text_member(one, "name").value_or("");
  }
  return messages;
}

}  // namespace troupe::services
