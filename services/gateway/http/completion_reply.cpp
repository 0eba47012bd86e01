// Chat and text completions differ in names and nesting; both are written here.
#include "services/gateway/http/completion_reply.hpp"

#include <algorithm>

#include "model/tokenizer/utf8.hpp"

namespace troupe::services::http {
namespace {

const char* reason_text(const AnswerFinish& finish) {
  return finish.reason == AnswerFinish::Reason::stop ? "stop" : "length";
}

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
      .add("total_tokens", usage.prompt_tokens + usage.completion_tokens);
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

bool silent(const ChoiceState& choice, std::int32_t id) {
  return std::find(choice.silent_ids.begin(), choice.silent_ids.end(), id) !=
         choice.silent_ids.end();
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

/// U+FFFD for what is no whole character: tokens end anywhere.
std::string as_text(std::string_view bytes) {
  std::string out;
  model::Utf8Assembler assembler;
  assembler.push(bytes, out);
  assembler.finish(out);
  return out;
}

std::string token_bytes(const ReplyFrame& frame, std::int32_t id) {
  const auto* tokenizer = frame.model.tokenizer();
  return tokenizer == nullptr ? "" : std::string(tokenizer->bytes_of(id));
}

/// {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}
JsonValue chat_logprobs(const ReplyFrame& frame, const ChoiceState& choice,
                        const AnswerPiece& piece) {
  JsonValue::Array content;
  for (std::size_t i = 0; i < piece.logprobs.size(); ++i) {
    if (silent(choice, piece.ids[i])) continue;
    const std::string bytes = token_bytes(frame, piece.ids[i]);
    JsonValue::Array numbers;
    for (const char byte : bytes) numbers.push_back(json(int{static_cast<unsigned char>(byte)}));
    JsonObject entry;
    entry.add("token", as_text(bytes))
        .add("logprob", piece.logprobs[i])
        .add("bytes", std::move(numbers))
        .add("top_logprobs", JsonValue::Array{});
    content.push_back(entry.value());
  }
  JsonObject out;
  out.add("content", std::move(content)).add("refusal", json_null());
  return out.value();
}

/// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}; moves `offset`, in characters.
JsonValue text_logprobs(const ReplyFrame& frame, const ChoiceState& choice,
                        const AnswerPiece& piece, std::size_t& offset) {
  JsonValue::Array tokens, logprobs, offsets;
  for (std::size_t i = 0; i < piece.logprobs.size(); ++i) {
    if (silent(choice, piece.ids[i])) continue;
    const std::string token = as_text(token_bytes(frame, piece.ids[i]));
    offsets.push_back(json(static_cast<std::int64_t>(offset)));
    offset += characters(token);
    tokens.push_back(json(token));
    logprobs.push_back(json(piece.logprobs[i]));
  }
  JsonObject out;
  out.add("tokens", std::move(tokens))
      .add("token_logprobs", std::move(logprobs))
      .add("top_logprobs", json_null())
      .add("text_offset", std::move(offsets));
  return out.value();
}

/// Token ids are what is left when there is no tokenizer to make text.
bool shows_ids(const ReplyFrame& frame) {
  return frame.form.token_ids || frame.model.tokenizer() == nullptr;
}

JsonValue finish_or_null(const ChoiceState& choice) {
  return choice.finish ? json(reason_text(*choice.finish)) : json_null();
}

JsonValue whole_choice(const ReplyFrame& frame, const ChoiceState& choice) {
  JsonObject out;
  out.add("index", static_cast<std::int64_t>(choice.index));
  const bool logprobs = frame.form.logprobs;
  if (frame.form.chat) {
    JsonObject message;
    message.add("role", "assistant").add("content", choice.whole.text).add("refusal", json_null());
    out.add("message", message.value())
        .add("logprobs", logprobs ? chat_logprobs(frame, choice, choice.whole) : json_null());
  } else {
    std::size_t offset = characters(choice.echo);
    out.add("text", choice.echo + choice.whole.text)
        .add("logprobs",
             logprobs ? text_logprobs(frame, choice, choice.whole, offset) : json_null());
  }
  out.add("finish_reason", finish_or_null(choice));
  if (frame.form.token_ids) out.add("prompt_token_ids", json_array(choice.prompt_ids));
  if (shows_ids(frame)) out.add("token_ids", json_array(choice.whole.ids));
  return out.value();
}

/// A chunk with one choice. Chat has a delta, text has the text itself.
std::string choice_chunk(const ReplyFrame& frame, JsonValue choice) {
  JsonObject out = envelope(frame, chunk_object(frame));
  out.add("choices", JsonValue::Array{std::move(choice)});
  if (frame.form.include_usage) out.add("usage", json_null());
  return out.text();
}

}  // namespace

std::string whole_reply(const ReplyFrame& frame, const std::vector<ChoiceState>& choices,
                        const ReplyUsage& usage) {
  JsonObject out = envelope(frame, frame.form.chat ? "chat.completion" : "text_completion");
  JsonValue::Array list;
  for (const ChoiceState& choice : choices) list.push_back(whole_choice(frame, choice));
  out.add("choices", std::move(list)).add("usage", usage_value(usage));
  if (frame.form.timings) out.add("timings", timings_value(*choices.front().finish));
  return out.text();
}

std::string first_chunk(const ReplyFrame& frame, ChoiceState& choice) {
  JsonObject out;
  out.add("index", static_cast<std::int64_t>(choice.index));
  if (frame.form.chat) {
    JsonObject delta;
    delta.add("role", "assistant").add("content", "").add("refusal", json_null());
    out.add("delta", delta.value());
  } else {
    out.add("text", choice.echo);
    choice.offset = characters(choice.echo);
  }
  out.add("logprobs", json_null()).add("finish_reason", json_null());
  if (frame.form.token_ids) out.add("prompt_token_ids", json_array(choice.prompt_ids));
  return choice_chunk(frame, out.value());
}

std::optional<std::string> piece_chunk(const ReplyFrame& frame, ChoiceState& choice,
                                       const AnswerPiece& piece) {
  const bool logprobs = frame.form.logprobs && !piece.logprobs.empty();
  if (piece.text.empty() && !logprobs && !(shows_ids(frame) && !piece.ids.empty())) {
    return std::nullopt;
  }
  JsonObject out;
  out.add("index", static_cast<std::int64_t>(choice.index));
  if (frame.form.chat) {
    out.add("delta", JsonObject().add("content", piece.text).value());
    out.add("logprobs", logprobs ? chat_logprobs(frame, choice, piece) : json_null());
  } else {
    out.add("text", piece.text);
    out.add("logprobs",
            logprobs ? text_logprobs(frame, choice, piece, choice.offset) : json_null());
  }
  out.add("finish_reason", json_null());
  if (shows_ids(frame)) out.add("token_ids", json_array(piece.ids));
  return choice_chunk(frame, out.value());
}

std::string progress_chunk(const ReplyFrame& frame, const PromptProgress& progress) {
  JsonObject out = envelope(frame, chunk_object(frame));
  out.add("choices", JsonValue::Array{})
      .add("prompt_progress",
           JsonObject().add("done", progress.done).add("total", progress.total).value());
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
  return choice_chunk(frame, out.value());
}

std::string usage_chunk(const ReplyFrame& frame, const ReplyUsage& usage) {
  JsonObject out = envelope(frame, chunk_object(frame));
  out.add("choices", JsonValue::Array{}).add("usage", usage_value(usage));
  return out.text();
}

}  // namespace troupe::services::http
