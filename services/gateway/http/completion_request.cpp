// Which members there are, and where each goes.
#include "services/gateway/http/completion_request.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "services/gateway/http/field_reader.hpp"

namespace troupe::services::http {
namespace {

constexpr std::int32_t kCompletionTokens = 16;  // OpenAI's default of /v1/completions

void read_sampling(FieldReader& fields, SamplingFields& out) {
  out.temperature = fields.number("temperature");
  out.top_p = fields.number("top_p");
  out.top_k = fields.whole("top_k");
  out.min_p = fields.number("min_p");
  out.frequency_penalty = fields.number("frequency_penalty");
  out.presence_penalty = fields.number("presence_penalty");
  out.repetition_penalty = fields.number("repetition_penalty");
  out.seed = fields.seed("seed");
  out.n = fields.whole("n");
  out.min_tokens = fields.whole("min_tokens");
  out.stop = fields.texts("stop");
  out.stop_token_ids = fields.ids("stop_token_ids");
  out.ignore_eos = fields.boolean("ignore_eos").value_or(false);
}

/// {"15": -100}: ids are keys, and keys are strings.
void read_bias(FieldReader& fields, SamplingFields& out) {
  const auto* biases = fields.object("logit_bias");
  if (biases == nullptr) return;
  for (const JsonMember& bias : *biases) {
    const std::string field = "logit_bias[" + bias.key + "]";
    std::int32_t id = 0;
    const char* end = bias.key.data() + bias.key.size();
    const auto parsed = std::from_chars(bias.key.data(), end, id);
    if (parsed.ec != std::errc{} || parsed.ptr != end || bias.key.empty()) {
      fields.fail("logit_bias", "takes token ids as keys, not " + model::quote_json(bias.key));
    } else if (!bias.value.number()) {
      fields.fail(field, "takes a number, not " + type_name(bias.value));
    } else {
      out.logit_bias[id] = static_cast<float>(*bias.value.number());
    }
  }
}

void read_stream(FieldReader& fields, Findings& findings, ReplyForm& form) {
  form.stream = fields.boolean("stream").value_or(false);
  const auto* options = fields.object("stream_options");
  if (options == nullptr) return;
  FieldReader inner(*options, "stream_options.", findings);
  form.include_usage = inner.boolean("include_usage").value_or(false) && form.stream;
  inner.ignore_rest();
}

/// Members that both endpoints have.
void read_shared(FieldReader& fields, Findings& findings, CompletionRequest& out) {
  GenerateCall& call = out.calls.front();
  call.model = fields.text("model").value_or("");
  call.names.sampling = "";
  read_sampling(fields, call.sampling);
  read_bias(fields, call.sampling);
  read_stream(fields, findings, out.form);
  call.prompt_progress = fields.boolean("include_prompt_progress").value_or(false);
  out.form.token_ids = fields.boolean("return_token_ids").value_or(false);
  out.form.timings = fields.boolean("timings").value_or(false);
  call.priority = fields.whole("priority").value_or(0);
  call.cache_salt = fields.text("cache_salt").value_or("");
  call.sampling.prompt_logprobs = fields.whole("prompt_logprobs");
  out.form.prompt_logprobs = call.sampling.prompt_logprobs;
  out.form.choices = static_cast<std::size_t>(std::max(call.sampling.n.value_or(1), 1));
  if (out.form.prompt_logprobs && out.form.stream)
    fields.fail("prompt_logprobs", "does not go with \"stream\": true. Ask for one of them");
  // Other servers' ways to constrain the output: leaving them out would change what comes.
  for (const char* key : {"guided_json", "guided_regex", "guided_choice", "guided_grammar",
                          "structured_outputs", "grammar", "json_schema", "regex"}) {
    fields.refuse(key);
  }
}

void finish(FieldReader& fields, Findings& findings, CompletionRequest& out) {
  fields.ignore_rest();
  out.ignored = findings.ignored;
}

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
      fields.fail("type", "takes \"text\", not " + model::quote_json(type.substr(0, 40)) +
                              ": this model reads text only");
      break;
    }
    if (i > 0) joined += '\n';
    joined += fields.text("text").value_or("");
    fields.ignore_rest();
  }
  return joined;
}

ChatMessage read_message(const JsonValue::Object& object, const std::string& prefix,
                         Findings& findings) {
  FieldReader fields(object, prefix, findings);
  ChatMessage message;
  message.role = fields.text("role").value_or("");
  static constexpr std::array kRoles{"system", "developer", "user", "assistant", "tool"};
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    fields.fail("role", "takes system, developer, user, assistant or tool, not " +
                            model::quote_json(message.role.substr(0, 40)));
  }
  if (message.role == "developer") message.role = "system";  // the same, by its newer name
  if (message.role == "tool") findings.add_not_served(prefix + "role", "\"tool\"");
  message.content = read_content(fields, findings);
  message.name = fields.text("name").value_or("");
  fields.refuse_unless("tool_calls", json(JsonValue::Array{}));
  for (const char* key : {"tool_call_id", "function_call", "audio", "prefix"}) fields.refuse(key);
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
                                          model::quote_json(effort->substr(0, 40)));
    set("reasoning_effort", json(*effort));
    set("thinking", json(*effort != "none"));
  }
  const JsonValue* thinking = fields.any("thinking");
  if (thinking != nullptr && thinking->object() != nullptr) {  // {"type": "enabled"}
    FieldReader inner(*thinking->object(), "thinking.", findings);
    const std::string type = inner.text("type").value_or("");
    if (type != "enabled" && type != "disabled") {
      inner.fail("type",
                 "takes \"enabled\" or \"disabled\", not " + model::quote_json(type.substr(0, 40)));
    }
    set("thinking", json(type == "enabled"));
    inner.ignore_rest();
  } else if (const auto flag = fields.boolean("thinking")) {
    set("thinking", json(*flag));
  }
  return variables.empty() ? "" : model::to_json(json(std::move(variables)));
}

/// {"type": "text"} is what comes anyway.
void read_format(FieldReader& fields, Findings& findings) {
  const auto* format = fields.object("response_format");
  if (format == nullptr) return;
  FieldReader inner(*format, "response_format.", findings);
  const std::string type = inner.text("type").value_or("");
  if (type == "json_object" || type == "json_schema") {
    findings.add_not_served("response_format.type", model::quote_json(type));
  } else if (type != "text") {
    inner.fail("type", "takes text, json_object or json_schema, not " +
                           model::quote_json(type.substr(0, 40)));
  }
}

/// Tools that are not there need no choice.
void read_tools(FieldReader& fields) {
  fields.refuse_unless("tools", json(JsonValue::Array{}));
  const JsonValue* choice = fields.any("tool_choice");
  const std::string* word = choice == nullptr ? nullptr : choice->string();
  if (choice != nullptr && (word == nullptr || (*word != "none" && *word != "auto"))) {
    fields.refuse("tool_choice");
  }
  fields.boolean("parallel_tool_calls");  // of no tools, any
  fields.refuse_unless("functions", json(JsonValue::Array{}));
  fields.refuse("function_call");
}

void read_chat_logprobs(FieldReader& fields, CompletionRequest& out) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.whole("top_logprobs");
  if (top && !wanted) fields.fail("top_logprobs", "needs \"logprobs\": true");
  out.form.logprobs = wanted;
  if (!wanted) return;
  out.calls.front().names.logprobs = "top_logprobs";
  out.calls.front().sampling.logprobs = top.value_or(0);
  out.form.top_logprobs = top.value_or(0);
}

void read_chat_bound(FieldReader& fields, GenerateCall& call) {
  const auto older = fields.whole("max_tokens");
  const auto newer = fields.whole("max_completion_tokens");
  call.names.max_tokens = newer ? "max_completion_tokens" : "max_tokens";
  call.sampling.max_tokens = newer ? newer : older;
}

/// Each of a batch of prompts.
std::vector<decltype(GenerateCall::input)> read_prompts(FieldReader& fields, Findings& findings,
                                                        std::vector<std::string>& names) {
  std::vector<decltype(GenerateCall::input)> prompts;
  const JsonValue* prompt = fields.any("prompt");
  if (prompt == nullptr) {
    fields.fail("prompt", "is absent: a string, an array of token ids, or an array of either");
    return {};
  }
  if (const auto* text = prompt->string()) {
    names = {"prompt"};
    return {*text};
  }
  const auto* array = prompt->array();
  if (array == nullptr || array->empty()) {
    fields.fail("prompt", "takes a string, an array of token ids, or an array of either, not " +
                              (array == nullptr ? type_name(*prompt) : "an empty array"));
    return {};
  }
  if (array->front().number()) {
    names = {"prompt"};
    return {read_ids(*array, "prompt", findings)};
  }
  if (array->size() > kPromptsMax) {
    fields.fail("prompt", "takes at most " + std::to_string(kPromptsMax) + " prompts, not " +
                              std::to_string(array->size()));
    return {};
  }
  for (const JsonValue& item : *array) {
    names.push_back("prompt[" + std::to_string(names.size()) + "]");
    if (const auto* text = item.string()) {
      prompts.emplace_back(*text);
    } else if (item.array() != nullptr) {
      prompts.emplace_back(read_ids(*item.array(), names.back(), findings));
    } else {
      fields.fail(names.back(), "takes a string or an array of token ids, not " + type_name(item));
      break;
    }
  }
  return prompts;
}

void read_completion_logprobs(FieldReader& fields, CompletionRequest& out) {
  const auto logprobs = fields.whole("logprobs");
  out.form.logprobs = logprobs.has_value();
  out.form.top_logprobs = logprobs.value_or(0);
  out.calls.front().sampling.logprobs = logprobs;
}

/// The best of as many as are given back are these.
void read_best_of(FieldReader& fields, const SamplingFields& sampling, Findings& findings) {
  const auto best = fields.whole("best_of");
  if (best && *best != sampling.n.value_or(1)) findings.add_not_served("best_of", "other than n");
}

}  // namespace

ChatCall read_conversation(FieldReader& fields, Findings& findings) {
  ChatCall chat;
  chat.names = {"messages", "messages", "chat_template_kwargs"};
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
  chat.variables_json = read_variables(fields, findings);
  chat.add_generation_prompt = fields.boolean("add_generation_prompt").value_or(true);
  return chat;
}

Answered<CompletionRequest> read_chat(const JsonValue::Object& body) {
  Findings findings;
  FieldReader fields(body, "", findings);
  CompletionRequest out;
  out.calls.resize(1);
  out.form.chat = true;
  GenerateCall& call = out.calls.front();
  read_shared(fields, findings, out);
  call.input = read_conversation(fields, findings);
  read_chat_bound(fields, call);
  read_chat_logprobs(fields, out);
  read_format(fields, findings);
  read_tools(fields);
  fields.refuse_unless("modalities", json_array(std::array{"text"}));
  fields.refuse("audio");
  fields.refuse("web_search_options");
  finish(fields, findings, out);
  if (auto error = findings.error()) return *std::move(error);
  return out;
}

Answered<CompletionRequest> read_completion(const JsonValue::Object& body) {
  Findings findings;
  FieldReader fields(body, "", findings);
  CompletionRequest out;
  out.calls.resize(1);
  read_shared(fields, findings, out);
  out.calls.front().sampling.max_tokens = fields.whole("max_tokens").value_or(kCompletionTokens);
  out.form.echo = out.calls.front().echo = fields.boolean("echo").value_or(false);
  read_completion_logprobs(fields, out);
  fields.refuse_unless("suffix", json(""));
  read_best_of(fields, out.calls.front().sampling, findings);
  read_format(fields, findings);
  std::vector<std::string> names;
  auto prompts = read_prompts(fields, findings, names);
  const std::size_t choices = out.form.choices;
  if (choices > 1 && choices * prompts.size() > kPromptsMax) {
    fields.fail("n", "times the prompts takes at most " + std::to_string(kPromptsMax) + ", not " +
                         std::to_string(choices * prompts.size()));
  }
  finish(fields, findings, out);
  if (auto error = findings.error()) return *std::move(error);
  out.calls.resize(prompts.size(), out.calls.front());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    out.calls[i].input = std::move(prompts[i]);
    out.calls[i].names.text = out.calls[i].names.ids = names[i];
  }
  return out;
}

}  // namespace troupe::services::http
