// Messages, tools and template variables, member by member.
#include "services/gateway/http/conversation_request.hpp"

#include <algorithm>
#include <array>

#include "model/tokenizer/utf8.hpp"

namespace troupe::services::http {
namespace {

/// A string, or parts of type text.
std::string read_content(FieldReader& message, Findings& findings) {
  const JsonValue* content = message.any("content");
  if (content == nullptr) return "";
  if (const auto* text = content->string()) return *text;
  if (content->array() == nullptr) {
    message.fail("content", "takes a string or an array of parts, not " + type_name(*content));
    return "";
  }
  std::string joined;
  for (std::size_t i = 0; i < content->array()->size(); ++i) {
    const JsonValue& part = (*content->array())[i];
    const std::string path = message.path("content[" + std::to_string(i) + "]");
    if (part.object() == nullptr) {
      message.fail("content[" + std::to_string(i) + "]",
                   "takes an object with type and text, not " + type_name(part));
      break;
    }
    FieldReader fields(*part.object(), path + ".", findings);
    const std::string type = fields.text("type").value_or("");
    if (type != "text") {
      fields.fail("type", "takes \"text\", not " + model::quote_json(model::utf8_prefix(type, 40)) +
                              ": this model reads text only");
      break;
    }
    if (i > 0) joined += '\n';
    if (fields.any("text") == nullptr) fields.fail("text", "is absent");
    joined += fields.text("text").value_or("");
    fields.ignore_rest();
  }
  return joined;
}

/// [{"id", "type": "function", "function": {"name", "arguments"}}], as an answer had them.
std::vector<ChatToolCall> read_calls(FieldReader& message, Findings& findings) {
  std::vector<ChatToolCall> calls;
  const auto* given = message.array("tool_calls");
  for (std::size_t i = 0; given != nullptr && i < given->size(); ++i) {
    const std::string key = "tool_calls[" + std::to_string(i) + "]";
    const auto* object = (*given)[i].object();
    if (object == nullptr) {
      message.fail(key, "takes an object with id and function, not " + type_name((*given)[i]));
      break;
    }
    FieldReader call(*object, message.path(key) + ".", findings);
    ChatToolCall& made = calls.emplace_back();
    made.id = call.text("id").value_or("");
    if (const auto type = call.text("type"); type && *type != "function")
      call.fail("type",
                "takes \"function\", not " + model::quote_json(model::utf8_prefix(*type, 40)));
    call.any("index");  // streams have it
    if (const auto* function = call.object("function")) {
      FieldReader inner(*function, call.path("function."), findings);
      made.name = inner.text("name").value_or("");
      made.arguments = inner.text("arguments").value_or("");
      inner.ignore_rest();
    } else if (call.any("function") == nullptr) {
      call.fail("function", "is absent: {\"name\": ..., \"arguments\": ...}");
    }
    call.ignore_rest();
  }
  return calls;
}

ChatMessage read_message(const JsonValue::Object& object, const std::string& prefix,
                         Findings& findings) {
  FieldReader fields(object, prefix, findings);
  ChatMessage message;
  message.role = fields.text("role").value_or("");
  static constexpr std::array kRoles{"system", "developer", "user", "assistant", "tool"};
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    fields.fail("role", "takes system, developer, user, assistant or tool, not " +
                            model::quote_json(model::utf8_prefix(message.role, 40)));
  }
  if (message.role == "developer") message.role = "system";  // the same, by its newer name
  message.content = read_content(fields, findings);
  message.name = fields.text("name").value_or("");
  message.tool_calls = read_calls(fields, findings);
  message.tool_call_id = fields.text("tool_call_id").value_or("");
  for (const char* key : {"function_call", "audio", "prefix"}) fields.refuse(key);
  fields.ignore_rest();
  return message;
}

std::string read_variables(FieldReader& fields, Findings& findings) {
  JsonValue::Object variables;
  if (const auto* given = fields.object("chat_template_kwargs")) variables = *given;
  const auto set = [&](const char* name, JsonValue value) {
    std::erase_if(variables, [&](const JsonMember& one) { return one.key == name; });
    variables.push_back({name, std::move(value)});
  };
  if (const auto effort = fields.text("reasoning_effort")) {
    static constexpr std::array kEfforts{"none", "minimal", "low", "medium", "high", "xhigh"};
    if (std::find(kEfforts.begin(), kEfforts.end(), *effort) == kEfforts.end())
      fields.fail("reasoning_effort", "takes none, minimal, low, medium, high or xhigh, not " +
                                          model::quote_json(model::utf8_prefix(*effort, 40)));
    set("reasoning_effort", json(*effort));
    set("thinking", json(*effort != "none"));
  }
  const JsonValue* thinking = fields.any("thinking");
  if (thinking != nullptr && thinking->object() != nullptr) {  // {"type": "enabled"}
    FieldReader inner(*thinking->object(), "thinking.", findings);
    const std::string type = inner.text("type").value_or("");
    if (type != "enabled" && type != "disabled") {
      inner.fail("type", "takes \"enabled\" or \"disabled\", not " +
                             model::quote_json(model::utf8_prefix(type, 40)));
    }
    set("thinking", json(type == "enabled"));
    inner.ignore_rest();
  } else if (const auto flag = fields.boolean("thinking")) {
    set("thinking", json(*flag));
  }
  return variables.empty() ? "" : model::to_json(json(std::move(variables)));
}

/// A word, or {"type": "function", "function": {"name": ...}}.
ToolChoice read_tool_choice(FieldReader& fields, Findings& findings) {
  using Kind = ToolChoice::Kind;
  const JsonValue* choice = fields.any("tool_choice");
  if (choice == nullptr) return {};
  if (const auto* word = choice->string()) {
    if (*word == "none") return {Kind::none};
    if (*word == "required") return {Kind::required};
    if (*word != "auto")
      fields.fail("tool_choice",
                  "takes auto, none, required or an object that names a function, "
                  "not " +
                      model::quote_json(model::utf8_prefix(*word, 40)));
    return {};
  }
  const auto* object = fields.object("tool_choice");
  if (object == nullptr) return {};
  FieldReader inner(*object, "tool_choice.", findings);
  const std::string type = inner.text("type").value_or("");
  if (type != "function") {
    inner.fail("type",
               "takes \"function\", not " + model::quote_json(model::utf8_prefix(type, 40)));
    return {};
  }
  ToolChoice named{Kind::named};
  if (const auto* function = inner.object("function")) {
    FieldReader names(*function, "tool_choice.function.", findings);
    named.name = names.text("name").value_or("");
    names.ignore_rest();
  }
  if (named.name.empty() && findings.wrong.empty())
    inner.fail("function", "is absent: {\"name\": ...}");
  inner.ignore_rest();
  return named;
}

/// Tools stay the texts they are: templates show them as they were given.
void read_tools(FieldReader& fields, Findings& findings, ChatCall& chat) {
  const auto* tools = fields.array("tools");
  for (std::size_t i = 0; tools != nullptr && i < tools->size(); ++i)
    chat.tools.push_back(model::to_json((*tools)[i]));
  chat.choice = read_tool_choice(fields, findings);
  chat.parallel_calls = fields.boolean("parallel_tool_calls").value_or(true);
  fields.refuse_unless("functions", json(JsonValue::Array{}));
  fields.refuse("function_call");
}

}  // namespace

void read_template_options(FieldReader& fields, Findings& findings, ChatCall& chat) {
  chat.names = {"messages", "messages", "chat_template_kwargs", "tools", "tool_choice"};
  chat.variables_json = read_variables(fields, findings);
  chat.add_generation_prompt = fields.boolean("add_generation_prompt").value_or(true);
  read_tools(fields, findings, chat);
}

ChatCall read_conversation(FieldReader& fields, Findings& findings) {
  ChatCall chat;
  const auto* messages = fields.array("messages");
  if (messages == nullptr && findings.wrong.empty()) fields.fail("messages", "is absent");
  for (std::size_t i = 0; messages != nullptr && i < messages->size(); ++i) {
    const std::string path = "messages[" + std::to_string(i) + "]";
    if ((*messages)[i].object() == nullptr) {
      fields.fail(path, "takes an object with role and content, not " + type_name((*messages)[i]));
      break;
    }
    chat.messages.push_back(read_message(*(*messages)[i].object(), path + ".", findings));
  }
  read_template_options(fields, findings, chat);
  return chat;
}

}  // namespace troupe::services::http
