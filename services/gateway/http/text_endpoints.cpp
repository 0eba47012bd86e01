// /tokenize, /detokenize, /apply-template, /v1/models, /props.
#include "services/gateway/http/text_endpoints.hpp"

#include "services/gateway/http/conversation_request.hpp"
#include "services/gateway/tool_calls.hpp"

namespace troupe::services::http {
namespace {

using Ids = std::vector<std::int32_t>;

/// What ends a request before the model is asked: wrong members, then another model's name.
std::optional<ApiError> refuse(const ServedModel& model, const Findings& findings,
                               const std::string& name) {
  if (auto error = findings.error()) return error;
  return model.refuse_name(name);
}

std::string ids_text(const ServedModel& model, const Ids& ids) {
  JsonObject out;
  out.add("count", static_cast<std::int64_t>(ids.size()))
      .add("max_model_len", model.model().context())
      .add("tokens", json_array(ids));
  return out.text();
}

/// The prompt of a conversation; `ignored` gets what it leaves out.
Answered<ServedPrompt> encode(const ServedModel& model, const ChatCall& chat,
                              std::vector<std::string>& ignored) {
  auto encoded = model.encode(chat);
  if (const auto* prompt = std::get_if<ServedPrompt>(&encoded))
    ignored.insert(ignored.end(), prompt->ignored.begin(), prompt->ignored.end());
  return encoded;
}

TextAnswer tokenize_chat(const ServedModel& model, const ChatCall& chat,
                         std::vector<std::string>& ignored) {
  auto encoded = encode(model, chat, ignored);
  if (auto* error = std::get_if<ApiError>(&encoded)) return std::move(*error);
  return ids_text(model, std::get<ServedPrompt>(encoded).ids);
}

/// The conversation to tokenize where there is no text. What a request has of one beside a text is
/// read, so that nothing wrong is let through, and ignored.
std::optional<ChatCall> read_instead_of(bool text, FieldReader& fields, Findings& findings) {
  ChatCall chat;
  const bool messages = fields.any("messages") != nullptr;
  if (messages) {
    chat = read_conversation(fields, findings);
  } else {
    read_template_options(fields, findings, chat);
  }
  if (!text && messages) return chat;
  if (!text && findings.wrong.empty())
    fields.fail("prompt", "is absent: give prompt, content or messages");
  for (FieldViolation& wrong : check_tools(chat))
    fields.fail(wrong.field, std::move(wrong.description));
  for (const char* key : {"messages", "chat_template_kwargs", "reasoning_effort", "thinking",
                          "add_generation_prompt", "tools", "tool_choice", "parallel_tool_calls"})
    fields.ignore(key);
  return std::nullopt;
}

}  // namespace

TextAnswer tokenize(const ServedModel& model, const JsonValue::Object& body,
                    std::vector<std::string>& ignored) {
  Findings findings;
  FieldReader fields(body, "", findings);
  const std::string name = fields.text("model").value_or("");
  auto text = fields.text("prompt");
  const char* field = text ? "prompt" : "content";
  if (const auto content = fields.text("content"); content && !text) text = content;
  RawText how;
  how.bos = fields.boolean("add_special_tokens").value_or(true);
  how.added_tokens = fields.boolean("parse_special").value_or(false);
  const std::optional<ChatCall> chat = read_instead_of(text.has_value(), fields, findings);
  fields.ignore_rest();
  ignored = findings.ignored;
  if (auto error = refuse(model, findings, name)) return *std::move(error);
  if (chat) return tokenize_chat(model, *chat, ignored);
  auto ids = model.encode(*text, how, field);
  if (auto* error = std::get_if<ApiError>(&ids)) return std::move(*error);
  return ids_text(model, std::get<Ids>(ids));
}

TextAnswer detokenize(const ServedModel& model, const JsonValue::Object& body,
                      std::vector<std::string>& ignored) {
  Findings findings;
  FieldReader fields(body, "", findings);
  const std::string name = fields.text("model").value_or("");
  if (fields.any("tokens") == nullptr) fields.fail("tokens", "is absent: an array of token ids");
  const Ids ids = fields.ids("tokens");
  const bool skip = fields.boolean("skip_special_tokens").value_or(false);
  fields.ignore_rest();
  ignored = findings.ignored;
  if (auto error = refuse(model, findings, name)) return *std::move(error);
  if (auto refused = model.refuse_text()) return *std::move(refused);
  if (auto refused = model.refuse_ids(ids, "tokens")) return *std::move(refused);
  const std::string text = model.tokenizer()->decode(ids, skip);
  JsonObject out;  // vLLM says prompt, llama-server content
  out.add("prompt", text).add("content", text);
  return out.text();
}

TextAnswer apply_template(const ServedModel& model, const JsonValue::Object& body,
                          std::vector<std::string>& ignored) {
  Findings findings;
  FieldReader fields(body, "", findings);
  const std::string name = fields.text("model").value_or("");
  const ChatCall chat = read_conversation(fields, findings);
  fields.ignore_rest();
  ignored = findings.ignored;
  if (auto error = refuse(model, findings, name)) return *std::move(error);
  auto encoded = encode(model, chat, ignored);
  if (auto* error = std::get_if<ApiError>(&encoded)) return std::move(*error);
  const auto& prompt = std::get<ServedPrompt>(encoded);
  JsonObject out;
  out.add("prompt", prompt.text).add("tokens", json_array(prompt.ids));
  return out.text();
}

JsonValue describe(const ServedModel& model, std::int64_t created) {
  const model::ModelConfig& config = model.model().config();
  JsonObject capabilities;
  capabilities.add("text", model.tokenizer() != nullptr).add("chat", model.has_chat());
  JsonObject out;
  out.add("id", model.name())
      .add("object", "model")
      .add("created", created)
      .add("owned_by", "troupe")
      .add("max_model_len", model.model().context())
      .add("vocabulary_size", config.vocab_size)
      .add("layers", config.num_layers)
      .add("routed_experts", config.routed_experts)
      .add("experts_per_token", config.experts_per_token)
      .add("revision", model.model().checkpoint.revision())
      .add("dtype", std::string(model::to_string(model.settings().mode)))
      .add("system_fingerprint", model.fingerprint())
      .add("capabilities", capabilities.value());
  return out.value();
}

std::string props(const ServedModel& model) {
  const auto& sampling = model.model().defaults.sampling;
  JsonObject defaults;
  defaults.add("n_ctx", model.model().context())
      .add("temperature", sampling.temperature)
      .add("top_p", sampling.top_p)
      .add("top_k", sampling.top_k)
      .add("min_p", sampling.min_p)
      .add("presence_penalty", sampling.presence_penalty)
      .add("frequency_penalty", sampling.frequency_penalty)
      .add("repetition_penalty", sampling.repetition_penalty);
  JsonObject out;
  out.add("model_alias", model.name())
      .add("default_generation_settings", defaults.value())
      .add("system_fingerprint", model.fingerprint())
      .add("has_tokenizer", model.tokenizer() != nullptr)
      .add("has_chat_template", model.has_chat());
  return out.text();
}

}  // namespace troupe::services::http
