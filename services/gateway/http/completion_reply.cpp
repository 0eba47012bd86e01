// Chat and text completions differ in names and nesting; both are written here.
#include "services/gateway/http/completion_reply.hpp"

#include <algorithm>

#include "services/gateway/http/logprobs_reply.hpp"

namespace troupe::services::http {
namespace {

JsonObject envelope(const ReplyFrame& frame, const char* object) {
  JsonObject out;
  out.add("id", frame.id)
      .add("object", object)
      .add("created", frame.created)
      .add("model", frame.model.name())
      .add("system_fingerprint", frame.model.fingerprint());
  return out;
}

const char* chunk_object(const ReplyFrame& frame) {
  return frame.form.chat ? "chat.completion.chunk" : "text_completion";
}

JsonValue usage_value(const ReplyUsage& usage) {
  JsonObject out;
  out.add("prompt_tokens", usage.prompt_tokens)
      .add("completion_tokens", usage.completion_tokens)
      .add("total_tokens", usage.prompt_tokens + usage.completion_tokens)
      .add("prompt_tokens_details", JsonObject().add("cached_tokens", usage.cached_tokens).value());
  return out.value();
}

JsonValue timings_value(const AnswerFinish& finish) {
  JsonObject out;
  out.add("time_to_first_token_s", finish.time_to_first_token_s)
      .add("duration_s", finish.duration_s)
      .add("prompt_tokens", finish.prompt_tokens)
      .add("completion_tokens", finish.generated_tokens);
  return out.value();
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

/// Token ids are what is left when there is no tokenizer to make text.
bool shows_ids(const ReplyFrame& frame) {
  return frame.form.token_ids || frame.model.tokenizer() == nullptr;
}

JsonValue finish_or_null(const ChoiceState& choice) {
  return choice.finish ? json(to_string(choice.finish->reason)) : json_null();
}

/// {"index"[, "id", "type"], "function": {["name", ]"arguments"}}; an index where pieces are joined
/// by it.
JsonValue call_value(const ReplyFrame& frame, const ChoiceState& choice, const ToolCallPiece& call,
                     bool piece) {
  JsonObject out, function;
  if (piece) out.add("index", call.index);
  if (!call.name.empty()) {
    out.add("id", tool_call_id(frame.request_id, choice.index, call.index)).add("type", "function");
    function.add("name", call.name);
  }
  function.add("arguments", call.arguments);
  return out.add("function", function.value()).value();
}

JsonValue calls_value(const ReplyFrame& frame, const ChoiceState& choice, const AnswerPiece& text,
                      bool pieces) {
  JsonValue::Array calls;
  for (const ToolCallPiece& call : text.calls)
    calls.push_back(call_value(frame, choice, call, pieces));
  return json(std::move(calls));
}

JsonValue message_value(const ReplyFrame& frame, const ChoiceState& choice) {
  const AnswerPiece& whole = choice.whole;
  const bool silent = whole.text.empty() && !whole.calls.empty();
  JsonObject message;
  message.add("role", "assistant")
      .add("content", silent ? json_null() : json(whole.text))
      .add("refusal", json_null());
  if (!whole.reasoning.empty()) message.add("reasoning_content", whole.reasoning);
  if (!whole.calls.empty()) message.add("tool_calls", calls_value(frame, choice, whole, false));
  return message.value();
}

JsonValue delta_value(const ReplyFrame& frame, const ChoiceState& choice,
                      const AnswerPiece& piece) {
  JsonObject delta;
  if (!piece.reasoning.empty()) delta.add("reasoning_content", piece.reasoning);
  if (!piece.text.empty() || (piece.reasoning.empty() && piece.calls.empty()))
    delta.add("content", piece.text);
  if (!piece.calls.empty()) delta.add("tool_calls", calls_value(frame, choice, piece, true));
  return delta.value();
}

/// The choices of a prompt have it in common: the first one tells of it.
bool tells_prompt(const ReplyFrame& frame, const ChoiceState& choice) {
  return frame.form.prompt_logprobs && (frame.form.echo || choice.index % frame.form.choices == 0);
}

JsonValue whole_choice(const ReplyFrame& frame, const ChoiceState& choice) {
  JsonObject out;
  out.add("index", static_cast<std::int64_t>(choice.index));
  const bool logprobs = frame.form.logprobs;
  if (frame.form.chat) {
    out.add("message", message_value(frame, choice))
        .add("logprobs", logprobs ? chat_logprobs(frame, choice, choice.whole) : json_null());
  } else {
    const bool echoes = frame.form.echo;
    std::size_t offset = echoes && logprobs ? 0 : characters(choice.echo);
    out.add("text", choice.echo + choice.whole.text)
        .add("logprobs",
             logprobs ? text_logprobs(frame, choice, choice.whole, echoes, offset) : json_null());
  }
  out.add("finish_reason", finish_or_null(choice));
  if (frame.form.token_ids) out.add("prompt_token_ids", json_array(*choice.prompt_ids));
  if (shows_ids(frame)) out.add("token_ids", json_array(choice.whole.ids));
  if (!frame.form.chat && tells_prompt(frame, choice))
    out.add("prompt_logprobs", prompt_logprobs(frame, choice));
  return out.value();
}

/// With logprobs, an echo is sent when those of the prompt are there, which come in parts.
bool awaits_prompt(const ReplyFrame& frame, const ChoiceState& choice) {
  return frame.form.echo && frame.form.logprobs && !choice.echoed;
}

bool has_prompt(const ChoiceState& choice) {
  return choice.whole.prompt.size() + 1 >= choice.prompt_ids->size();
}

/// The logprobs of the prompt, once: as soon as they are all there.
std::optional<JsonValue> told_prompt(const ReplyFrame& frame, ChoiceState& choice) {
  if (choice.told || !tells_prompt(frame, choice) || !has_prompt(choice)) return std::nullopt;
  choice.told = true;
  return prompt_logprobs(frame, choice);
}

/// A chunk with one choice. Chat has a delta, text has the text itself; what is told of a prompt
/// stands where whole replies have it.
std::string choice_chunk(const ReplyFrame& frame, JsonObject choice,
                         std::optional<JsonValue> prompt = std::nullopt) {
  JsonObject out = envelope(frame, chunk_object(frame));
  if (prompt && !frame.form.chat) choice.add("prompt_logprobs", *std::move(prompt));
  out.add("choices", JsonValue::Array{choice.value()});
  if (frame.form.include_usage) out.add("usage", json_null());
  if (prompt && frame.form.chat) out.add("prompt_logprobs", *std::move(prompt));
  return out.text();
}

}  // namespace

std::string whole_reply(const ReplyFrame& frame, const std::vector<ChoiceState>& choices,
                        const ReplyUsage& usage) {
  JsonObject out = envelope(frame, frame.form.chat ? "chat.completion" : "text_completion");
  JsonValue::Array list;
  for (const ChoiceState& choice : choices) list.push_back(whole_choice(frame, choice));
  out.add("choices", std::move(list)).add("usage", usage_value(usage));
  if (frame.form.chat && frame.form.prompt_logprobs)
    out.add("prompt_logprobs", prompt_logprobs(frame, choices.front()));
  if (frame.form.timings) out.add("timings", timings_value(*choices.front().finish));
  return out.text();
}

std::string first_chunk(const ReplyFrame& frame, ChoiceState& choice) {
  JsonValue logprobs = json_null();  // an echo of one token has its own here
  JsonObject out;
  out.add("index", static_cast<std::int64_t>(choice.index));
  if (frame.form.chat) {
    JsonObject delta;
    delta.add("role", "assistant").add("content", "").add("refusal", json_null());
    out.add("delta", delta.value());
  } else {
    const bool later = awaits_prompt(frame, choice) && choice.prompt_ids->size() > 1;
    out.add("text", later ? "" : choice.echo);
    if (!frame.form.logprobs) choice.offset = characters(choice.echo);
    choice.echoed = !later;
    if (!later && frame.form.echo && frame.form.logprobs)
      logprobs = text_logprobs(frame, choice, {}, true, choice.offset);
  }
  out.add("logprobs", std::move(logprobs)).add("finish_reason", json_null());
  if (frame.form.token_ids) out.add("prompt_token_ids", json_array(*choice.prompt_ids));
  return choice_chunk(frame, std::move(out), told_prompt(frame, choice));
}

std::optional<std::string> piece_chunk(const ReplyFrame& frame, ChoiceState& choice,
                                       const AnswerPiece& piece) {
  std::string echo;
  bool echoes = false;
  choice.whole.prompt.insert(choice.whole.prompt.end(), piece.prompt.begin(), piece.prompt.end());
  if (awaits_prompt(frame, choice)) {
    echoes = choice.echoed = has_prompt(choice);
    if (echoes) echo = choice.echo;
  }
  auto prompt = told_prompt(frame, choice);
  const bool logprobs = frame.form.logprobs && (echoes || !piece.logprobs.empty());
  const bool text = !piece.text.empty() || !piece.reasoning.empty() || !piece.calls.empty();
  if (!text && !logprobs && !prompt && !(shows_ids(frame) && !piece.ids.empty()))
    return std::nullopt;
  JsonObject out;
  out.add("index", static_cast<std::int64_t>(choice.index));
  if (frame.form.chat) {
    out.add("delta", delta_value(frame, choice, piece));
    out.add("logprobs", logprobs ? chat_logprobs(frame, choice, piece) : json_null());
  } else {
    out.add("text", echo + piece.text);
    out.add("logprobs",
            logprobs ? text_logprobs(frame, choice, piece, echoes, choice.offset) : json_null());
  }
  out.add("finish_reason", json_null());
  if (shows_ids(frame)) out.add("token_ids", json_array(piece.ids));
  return choice_chunk(frame, std::move(out), std::move(prompt));
}

std::string progress_chunk(const ReplyFrame& frame, const PromptProgress& progress) {
  JsonObject told;
  told.add("done", progress.done)
      .add("total", progress.total)
      .add("cached_tokens", progress.cached_tokens);
  JsonObject out = envelope(frame, chunk_object(frame));
  out.add("choices", JsonValue::Array{}).add("prompt_progress", told.value());
  if (frame.form.include_usage) out.add("usage", json_null());
  return out.text();
}

std::string finish_chunk(const ReplyFrame& frame, const ChoiceState& choice) {
  JsonObject out;
  out.add("index", static_cast<std::int64_t>(choice.index));
  if (frame.form.chat) {
    out.add("delta", JsonObject().value());
  } else {
    out.add("text", "");
  }
  out.add("logprobs", json_null()).add("finish_reason", finish_or_null(choice));
  if (frame.form.timings) out.add("timings", timings_value(*choice.finish));
  return choice_chunk(frame, std::move(out));
}

std::string usage_chunk(const ReplyFrame& frame, const ReplyUsage& usage) {
  JsonObject out = envelope(frame, chunk_object(frame));
  out.add("choices", JsonValue::Array{}).add("usage", usage_value(usage));
  return out.text();
}

}  // namespace troupe::services::http
