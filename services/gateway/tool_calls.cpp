// Checks of tools, and the ids of calls.
#include "services/gateway/tool_calls.hpp"

#include <algorithm>

#include "core/hexadecimal.hpp"
#include "core/sha256.hpp"
#include "model/config/json_value.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::services {
namespace {

constexpr std::size_t kToolsMax = 128;
constexpr std::size_t kNameBytesMax = 64;
constexpr std::size_t kIdDigits = 24;

bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= kNameBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.';
         });
}

std::optional<FieldViolation> check_tool(const std::string& text, const std::string& path) {
  const auto tool = model::parse_json(text);
  if (!tool) return FieldViolation{path, "is no JSON: " + tool.error().detail};
  const auto* type = tool->find("type");
  const auto* function = tool->find("function");
  if (type == nullptr || type->string() == nullptr || *type->string() != "function" ||
      function == nullptr || function->object() == nullptr) {
    return FieldViolation{path, "takes {\"type\": \"function\", \"function\": {\"name\": ...}}"};
  }
  const auto* name = function->find("name");
  if (name == nullptr || name->string() == nullptr || !is_name(*name->string())) {
    return FieldViolation{path + ".function.name",
                          "takes 1 to " + std::to_string(kNameBytesMax) +
                              " letters, digits, dots, dashes and underscores"};
  }
  const auto fits = [&](const char* key, auto is) {
    const auto* value = function->find(key);
    return value == nullptr || value->is_null() || is(*value);
  };
  if (!fits("description", [](const auto& value) { return value.string() != nullptr; }))
    return FieldViolation{path + ".function.description", "takes a string"};
  if (!fits("parameters", [](const auto& value) { return value.object() != nullptr; }))
    return FieldViolation{path + ".function.parameters", "takes a JSON schema, an object"};
  return std::nullopt;
}

std::string name_of(const model::JsonValue& tool) {
  return *tool.find("function")->find("name")->string();
}

bool is_of_word(char c) { return is_name(std::string(1, c)) && c != '.'; }

/// Whether `word` stands in `text` with nothing in front or behind that would make it a longer one.
bool has_word(const std::string& text, const std::string& word) {
  for (auto at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
    const auto end = at + word.size();
    const bool begins = at == 0 || !is_of_word(text[at - 1]);
    if (begins && (end == text.size() || !is_of_word(text[end]))) return true;
  }
  return false;
}

/// Gives an object a member that it lacks; null is none.
void fill(model::JsonValue::Object& object, const std::string& key, model::JsonValue value) {
  for (model::JsonMember& member : object) {
    if (member.key != key) continue;
    if (member.value.is_null()) member.value = std::move(value);
    return;
  }
  object.push_back({key, std::move(value)});
}

/// `text` itself where nothing is missing.
std::string filled_tool(const std::string& text) {
  auto tool = *model::parse_json(text);
  const auto lacks = [&tool](const char* key) {
    const auto* value = tool.find("function")->find(key);
    return value == nullptr || value->is_null();
  };
  if (!lacks("description") && !lacks("parameters")) return text;
  for (model::JsonMember& member : std::get<model::JsonValue::Object>(tool.data)) {
    if (member.key != "function") continue;
    auto& function = std::get<model::JsonValue::Object>(member.value.data);
    fill(function, "description", {std::string()});
    fill(function, "parameters", *model::parse_json(R"({"type":"object","properties":{}})"));
  }
  return model::to_json(tool);
}

/// A choice that forces a call needs something to call.
std::optional<FieldViolation> check_choice(const ChatCall& chat) {
  if (!chat.choice.forces()) return std::nullopt;
  if (chat.tools.empty())
    return FieldViolation{chat.names.choice, "has no tools to choose from. Send " +
                                                 chat.names.tools + ", or leave it out"};
  if (chat.choice.kind == ToolChoice::Kind::required) return std::nullopt;
  std::string known;
  for (const std::string& text : chat.tools) {
    const std::string name = tool_name(text);
    if (name == chat.choice.name) return std::nullopt;
    known += (known.empty() ? "" : ", ") + model::quote_json(name);
  }
  return FieldViolation{chat.names.choice,
                        "takes one of " + known + ", not " +
                            model::quote_json(model::utf8_prefix(chat.choice.name, 80))};
}

}  // namespace

void add_piece(std::vector<ToolCallPiece>& calls, ToolCallPiece piece) {
  if (calls.empty() || calls.back().index != piece.index) {
    calls.push_back(std::move(piece));
    return;
  }
  calls.back().name += piece.name;
  calls.back().arguments += piece.arguments;
}

std::string tool_call_id(const std::string& request_id, std::size_t choice, std::int32_t call) {
  Sha256 hash;
  hash.add(request_id).add_u64(choice).add_u64(static_cast<std::uint64_t>(call));
  return "call_" + to_hex(hash.digest()).substr(0, kIdDigits);
}

std::vector<FieldViolation> check_tools(const ChatCall& chat) {
  std::vector<FieldViolation> wrong;
  if (chat.tools.size() > kToolsMax) {
    wrong.push_back({chat.names.tools, "takes at most " + std::to_string(kToolsMax) + ", not " +
                                           std::to_string(chat.tools.size())});
    return wrong;
  }
  for (std::size_t i = 0; i < chat.tools.size(); ++i) {
    const std::string path = chat.names.tools + "[" + std::to_string(i) + "]";
    if (auto found = check_tool(chat.tools[i], path)) wrong.push_back(*std::move(found));
  }
  if (!wrong.empty()) return wrong;
  if (auto found = check_choice(chat)) wrong.push_back(*std::move(found));
  for (std::size_t i = 0; i < chat.messages.size(); ++i) {
    const auto& calls = chat.messages[i].tool_calls;
    for (std::size_t k = 0; k < calls.size(); ++k) {
      const std::string path =
          chat.names.messages + "[" + std::to_string(i) + "].tool_calls[" + std::to_string(k) + "]";
      if (calls[k].name.empty()) wrong.push_back({path, "names no function"});
      for (const std::string* text : {&calls[k].id, &calls[k].name, &calls[k].arguments}) {
        if (model::first_invalid_utf8(*text)) wrong.push_back({path, "is not UTF-8"});
      }
    }
  }
  return wrong;
}

std::string tools_json(const ChatCall& chat) {
  if (!chat.may_call()) return "";
  std::string json = "[";
  for (const std::string& tool : chat.tools)
    json += (json.size() > 1 ? "," : "") + filled_tool(tool);
  return json + "]";
}

std::string tool_name(const std::string& tool) { return name_of(*model::parse_json(tool)); }

bool names_tools(const ChatCall& chat, const std::string& text) {
  return std::all_of(chat.tools.begin(), chat.tools.end(),
                     [&text](const std::string& tool) { return has_word(text, tool_name(tool)); });
}

FormatCall form_of_calls(const ChatCall& chat, model::ToolCallFormat format) {
  std::vector<model::CallableFunction> functions;
  for (const std::string& text : chat.tools) {
    const auto tool = model::parse_json(text);
    std::string name = name_of(*tool);
    if (!chat.choice.name.empty() && name != chat.choice.name) continue;
    const auto* parameters = tool->find("function")->find("parameters");
    functions.push_back({std::move(name), parameters == nullptr || parameters->is_null()
                                              ? ""
                                              : model::to_json(*parameters)});
  }
  const bool several = chat.parallel_calls && chat.choice.kind == ToolChoice::Kind::required;
  return {model::tool_calls_spec(format, functions, several), chat.names.choice};
}

std::optional<std::string> first_of_calls(const ChatCall& chat) {
  if (chat.may_call()) return chat.names.tools;
  for (std::size_t i = 0; i < chat.messages.size(); ++i) {
    const std::string path = chat.names.messages + "[" + std::to_string(i) + "].";
    if (!chat.messages[i].tool_calls.empty()) return path + "tool_calls";
    if (!chat.messages[i].tool_call_id.empty()) return path + "tool_call_id";
    if (chat.messages[i].role == "tool") return path + "role";
  }
  return std::nullopt;
}

}  // namespace troupe::services
