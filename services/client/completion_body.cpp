// Field by field, with the names that the HTTP API has for them.
#include "services/client/completion_body.hpp"

#include "services/gateway/http/json_tree.hpp"

namespace troupe::services {
namespace {

using http::JsonObject;
using http::JsonValue;

template <class Value>
void add_given(JsonObject& out, const char* key, const std::optional<Value>& value) {
  if (value) out.add(key, *value);
}

void add_sampling(JsonObject& out, const SamplingFields& fields) {
  add_given(out, "temperature", fields.temperature);
  add_given(out, "top_p", fields.top_p);
  add_given(out, "top_k", fields.top_k);
  add_given(out, "min_p", fields.min_p);
  add_given(out, "frequency_penalty", fields.frequency_penalty);
  add_given(out, "presence_penalty", fields.presence_penalty);
  add_given(out, "repetition_penalty", fields.repetition_penalty);
  add_given(out, "max_tokens", fields.max_tokens);
  add_given(out, "min_tokens", fields.min_tokens);
  if (fields.seed) out.add("seed", JsonValue{*fields.seed});
  if (fields.ignore_eos) out.add("ignore_eos", true);
  if (fields.logit_bias.empty()) return;
  JsonObject biases;
  for (const auto& [id, bias] : fields.logit_bias) biases.add(std::to_string(id), bias);
  out.add("logit_bias", biases.value());
}

JsonValue calls_value(const std::vector<ChatToolCall>& calls) {
  JsonValue::Array out;
  for (const ChatToolCall& call : calls) {
    JsonObject function;
    function.add("name", call.name).add("arguments", call.arguments);
    JsonObject one;
    one.add("id", call.id).add("type", "function").add("function", function.value());
    out.push_back(one.value());
  }
  return {std::move(out)};
}

/// Content beside calls is null when it is empty, as OpenAI's API has it.
JsonValue message_value(const ChatMessage& message) {
  JsonObject out;
  const bool silent = message.content.empty() && !message.tool_calls.empty();
  out.add("role", message.role)
      .add("content", silent ? http::json_null() : http::json(message.content));
  if (!message.name.empty()) out.add("name", message.name);
  if (!message.tool_calls.empty()) out.add("tool_calls", calls_value(message.tool_calls));
  if (!message.tool_call_id.empty()) out.add("tool_call_id", message.tool_call_id);
  return out.value();
}

void add_chat(JsonObject& out, const ChatCall& chat) {
  JsonValue::Array messages;
  for (const ChatMessage& message : chat.messages) messages.push_back(message_value(message));
  out.add("messages", std::move(messages));
  JsonValue::Array tools;
  for (const std::string& text : chat.tools) {
    if (auto tool = model::parse_json(text)) tools.push_back(*std::move(tool));
  }
  if (!tools.empty()) out.add("tools", std::move(tools));
  if (chat.variables_json.empty()) return;
  if (auto variables = model::parse_json(chat.variables_json))
    out.add("chat_template_kwargs", *std::move(variables));
}

}  // namespace

std::string completion_path(const GenerateCall& call) {
  const bool chat = std::holds_alternative<ChatCall>(call.input);
  return chat ? "/v1/chat/completions" : "/v1/completions";
}

std::string completion_body(const GenerateCall& call) {
  JsonObject out;
  if (!call.model.empty()) out.add("model", call.model);
  if (const auto* text = std::get_if<GenerateCall::TextInput>(&call.input)) {
    out.add("prompt", *text);
  } else if (const auto* ids = std::get_if<GenerateCall::IdsInput>(&call.input)) {
    out.add("prompt", http::json_array(*ids));
  } else if (const auto* chat = std::get_if<ChatCall>(&call.input)) {
    add_chat(out, *chat);
  }
  add_sampling(out, call.sampling);
  out.add("stream", true)
      .add("stream_options", JsonObject().add("include_usage", true).value())
      .add("return_token_ids", true);
  return out.text();
}

}  // namespace troupe::services
