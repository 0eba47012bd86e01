// Which members there are, and where each goes.
#include "services/gateway/http/completion_request.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "services/gateway/http/conversation_request.hpp"
#include "services/gateway/http/field_reader.hpp"
#include "services/gateway/http/format_request.hpp"

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
  out.include_stop = fields.boolean("include_stop_str_in_output").value_or(false);
  out.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  out.allowed_token_ids = fields.ids("allowed_token_ids");
  out.bad_words = fields.texts("bad_words");
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
  call.format = read_format(fields, findings);
}

void finish(FieldReader& fields, Findings& findings, CompletionRequest& out) {
  fields.ignore_rest();
  out.ignored = findings.ignored;
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
  call.reasoning = fields.boolean("include_reasoning").value_or(true);
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
