// Prompts of one model, with errors that name the request's field.
#include "services/gateway/served_model.hpp"

#include <algorithm>
#include <mutex>

#include "model/config/json_value.hpp"
#include "model/grammar/grammar_cache.hpp"
#include "model/tokenizer/utf8.hpp"
#include "services/gateway/tool_calls.hpp"

namespace troupe::services {
namespace {

constexpr const char* kUntold =
    "reaches no prompt: the chat template shows none, or none with these variables. Define them in "
    "a system message, force a call with tool_choice, or leave them out";

ApiError precondition(std::string reason, std::string message) {
  ApiError error;
  error.code = ApiCode::failed_precondition;
  error.reason = std::move(reason);
  error.message = std::move(message);
  return error;
}

std::optional<FieldViolation> not_utf8(const std::string& text, const std::string& field) {
  const auto at = model::first_invalid_utf8(text);
  if (!at) return std::nullopt;
  return FieldViolation{field, "is not UTF-8: byte " + std::to_string(*at) + " cannot stand there"};
}

/// What of a conversation is wrong before any template sees it.
std::vector<FieldViolation> check_chat(const ChatCall& chat) {
  std::vector<FieldViolation> wrong;
  const auto take = [&](std::optional<FieldViolation> found) {
    if (found) wrong.push_back(*std::move(found));
  };
  if (chat.messages.empty()) wrong.push_back({chat.names.messages, "is empty; give at least one"});
  for (std::size_t i = 0; i < chat.messages.size(); ++i) {
    const std::string path = chat.names.messages + "[" + std::to_string(i) + "].";
    const ChatMessage& message = chat.messages[i];
    if (message.role.empty()) wrong.push_back({path + "role", "is empty"});
    take(not_utf8(message.role, path + "role"));
    take(not_utf8(message.content, path + "content"));
    take(not_utf8(message.name, path + "name"));
    take(not_utf8(message.tool_call_id, path + "tool_call_id"));
  }
  for (FieldViolation& found : check_tools(chat)) wrong.push_back(std::move(found));
  if (chat.variables_json.empty()) return wrong;
  const auto json = model::parse_json(chat.variables_json);
  if (!json || json->object() == nullptr) {
    wrong.push_back({chat.names.variables, "takes a JSON object, as in {\"thinking\": true}"});
  }
  return wrong;
}

}  // namespace

/// Those of this gateway, which only judges them; attention shards have their own. The table of
/// tokens is made when a grammar is first asked for.
struct ServedModel::Grammars {
  std::once_flag once;
  std::unique_ptr<model::GrammarCache> cache;
};

ServedModel::ServedModel(const OpenModel& model, Settings settings)
    : model_(&model), settings_(std::move(settings)), grammars_(std::make_shared<Grammars>()) {}

Expected<ServedModel> ServedModel::make(const OpenModel& model, Settings settings) {
  if (settings.name.empty()) {
    auto path = model.checkpoint.directory().lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    settings.name = path.filename().string();
  }
  ServedModel served(model, std::move(settings));
  if (!model.tokenizer) return served;
  const model::Tokenizer& tokenizer = *model.tokenizer;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    served.token_bytes_max_ = std::max(served.token_bytes_max_, tokenizer.bytes_of(id).size());
  }
  auto chat = ChatPrompt::load(tokenizer, served.settings_.template_file);
  if (!chat && (chat.error().code != Errc::not_found || !served.settings_.template_file.empty())) {
    return unexpected(std::move(chat).error());
  }
  if (chat) served.chat_.emplace(*std::move(chat));
  return served;
}

const model::Tokenizer* ServedModel::tokenizer() const {
  return model_->tokenizer ? &*model_->tokenizer : nullptr;
}

std::optional<ApiError> ServedModel::refuse_name(const std::string& asked) const {
  if (asked.empty() || asked == name()) return std::nullopt;
  return model_not_found(asked, {name()});
}

std::optional<ApiError> ServedModel::refuse_text() const {
  if (tokenizer() != nullptr) return std::nullopt;
  return precondition("TOKENIZER_MISSING",
                      name() + " has no tokenizer, so only token ids can be sent. Send token_ids");
}

std::optional<ApiError> ServedModel::refuse_length(std::size_t bytes,
                                                   const std::string& field) const {
  const auto tokens_min = static_cast<std::int64_t>(bytes / token_bytes_max_);
  if (tokens_min <= model_->context()) return std::nullopt;
  return context_exceeded(tokens_min, 0, model_->context(), {.prompt = field});
}

std::optional<ApiError> ServedModel::refuse_ids(std::span<const std::int32_t> ids,
                                                const std::string& field) const {
  const std::int64_t vocab = model_->config().vocab_size;
  const auto wrong =
      std::find_if(ids.begin(), ids.end(), [&](auto id) { return id < 0 || id >= vocab; });
  if (wrong == ids.end()) return std::nullopt;
  return invalid_fields({{field + "[" + std::to_string(wrong - ids.begin()) + "]",
                          "takes token ids from 0 to " + std::to_string(vocab - 1) + ", not " +
                              std::to_string(*wrong)}});
}

Answered<std::vector<std::int32_t>> ServedModel::encode(const std::string& text, RawText how,
                                                        const std::string& field) const {
  if (auto refused = refuse_text()) return *std::move(refused);
  if (auto wrong = not_utf8(text, field)) return invalid_fields({*std::move(wrong)});
  if (auto refused = refuse_length(text.size(), field)) return *std::move(refused);
  auto ids = encode_raw(*model_, text, how);
  if (!ids) return invalid_fields({{field, ids.error().detail}});
  return *std::move(ids);
}

std::optional<ApiError> ServedModel::refuse_format(const FormatCall& format) const {
  if (format.grammar.kind == model::GrammarSpec::Kind::none) return std::nullopt;
  if (auto refused = refuse_text()) return refused;
  std::call_once(grammars_->once, [this] {
    grammars_->cache = std::make_unique<model::GrammarCache>(
        std::make_shared<const model::TokenTable>(*tokenizer()));
  });
  const auto compiled = grammars_->cache->get(format.grammar);
  if (compiled) return std::nullopt;
  return invalid_fields({{format.field, "cannot be kept to: " + compiled.error().detail}});
}

/// Whether the model hears of the tools it may call: by its template, or by the client's own words.
/// A name may stand in what was said, so the template is asked what it writes without them.
bool ServedModel::tells_tools(const ChatCall& chat, const std::string& prompt) const {
  if (!names_tools(chat, prompt)) return false;
  const auto without =
      chat_->render({chat.messages, {}, chat.variables_json, chat.add_generation_prompt});
  if (!without || *without != prompt) return true;
  std::string system;
  for (const ChatMessage& message : chat.messages)
    if (message.role == "system") system += message.content;
  return names_tools(chat, system);
}

Answered<ServedPrompt> ServedModel::encode(const ChatCall& chat) const {
  if (auto refused = refuse_text()) return *std::move(refused);
  if (!chat_) {
    return precondition("CHAT_TEMPLATE_MISSING",
                        name() + " has no chat template. Send text or token_ids");
  }
  if (auto wrong = check_chat(chat); !wrong.empty()) return invalid_fields(std::move(wrong));
  const bool calls = answer_format().tool_calls != model::ToolCallFormat::none;
  if (const auto path = first_of_calls(chat); path && !calls)
    return not_served(*path, "by this model, whose chat template has no form for calls,");
  const std::string tools = tools_json(chat);
  std::size_t bytes = 0;
  for (const ChatMessage& message : chat.messages) bytes += message.content.size();
  if (auto refused = refuse_length(bytes, chat.names.messages)) return *std::move(refused);
  auto encoded =
      chat_->encode({chat.messages, tools, chat.variables_json, chat.add_generation_prompt});
  if (!encoded) return invalid_fields({{chat.names.whole, encoded.error().detail}});
  ServedPrompt prompt{*std::move(encoded), {}};
  if (!chat.may_call() || chat.choice.forces() || tells_tools(chat, prompt.text)) return prompt;
  if (settings_.strict) return invalid_fields({{chat.names.tools, kUntold}});
  prompt.ignored.push_back(chat.names.tools);
  return prompt;
}

}  // namespace troupe::services
