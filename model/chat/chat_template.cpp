// Binds a chat request to the variables of its template and runs it.
#include "model/chat/chat_template.hpp"

#include "model/chat/jinja/interpreter.hpp"
#include "model/chat/jinja/json_read.hpp"
#include "model/chat/jinja/parser.hpp"

namespace troupe::model {
namespace {

using jinja::Value;
using Variables = std::vector<std::pair<std::string, Value>>;

void set(Variables& variables, std::string_view name, Value value) {
  for (auto& [present, current] : variables) {
    if (present == name) {
      current = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

Expected<void> add_json(Variables& variables, std::string_view name, std::string_view json,
                        const jinja::Limits& limits) {
  if (json.empty()) {
    set(variables, name, Value::none());
    return {};
  }
  auto value = jinja::read_json(json, limits.nesting_max);
  if (!value) return unexpected(value.error());
  set(variables, name, std::move(*value));
  return {};
}

// As transformers calls render(): its own arguments first, special tokens, then the caller's.
Expected<Variables> variables_of(const ChatRequest& request, const jinja::Limits& limits) {
  Variables variables;
  for (const auto& [name, json] :
       {std::pair{"messages", request.messages_json}, std::pair{"tools", request.tools_json},
        std::pair{"documents", request.documents_json}}) {
    if (auto added = add_json(variables, name, json, limits); !added) {
      return unexpected(added.error());
    }
  }
  set(variables, "add_generation_prompt", Value::boolean(request.add_generation_prompt));
  for (const auto& [name, text] : request.special_tokens) set(variables, name, Value::string(text));
  if (request.variables_json.empty()) return variables;
  auto more = jinja::read_json(request.variables_json, limits.nesting_max);
  if (!more) return unexpected(more.error());
  if (!more->dict()) {
    return unexpected(Errc::invalid_argument, "further template variables must be a JSON object");
  }
  for (const auto& [name, value] : more->dict()->entries) {
    set(variables, name.text()->bytes(), value);
  }
  return variables;
}

jinja::Limits limits_for(const ChatRequest& request) {
  jinja::Limits limits;
  const std::size_t input = request.messages_json.size() + request.tools_json.size() +
                            request.documents_json.size() + request.variables_json.size();
  limits.steps_max += 8 * input;  // a message of 40 bytes takes 250 steps in V3.1's template
  return limits;
}

}  // namespace

struct ChatTemplate::Tree {
  jinja::Body body;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const Tree> tree) : tree_(std::move(tree)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Expected<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  auto body = jinja::parse_template(source);
  if (!body) return unexpected(body.error());
  return ChatTemplate(std::make_unique<const Tree>(Tree{std::move(*body)}));
}

Expected<RenderedPrompt> ChatTemplate::render(const ChatRequest& request) const {
  const jinja::Limits limits = limits_for(request);
  auto variables = variables_of(request, limits);
  if (!variables) return unexpected(variables.error());
  jinja::Runtime runtime(limits);
  runtime.local_time = request.local_time;
  const jinja::Text text = jinja::Interpreter(runtime, std::move(*variables)).render(tree_->body);
  if (runtime.failed()) return unexpected(runtime.error());
  RenderedPrompt prompt;
  prompt.text = text.bytes();
  std::size_t begin = 0;
  for (const jinja::Text::Run& run : text.runs()) {
    prompt.segments.push_back({begin, run.end - begin, run.trusted});
    begin = run.end;
  }
  return prompt;
}

}  // namespace troupe::model
