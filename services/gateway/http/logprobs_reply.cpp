// Tokens as text, their probabilities, and where they begin.
#include "services/gateway/http/logprobs_reply.hpp"

#include <algorithm>
#include <set>

#include "model/tokenizer/utf8.hpp"

namespace troupe::services::http {
namespace {

using Alternatives = std::span<const model::TokenLogprob>;

bool silent(const ChoiceState& choice, std::int32_t id) {
  return std::find(choice.silent_ids.begin(), choice.silent_ids.end(), id) !=
         choice.silent_ids.end();
}

std::string_view token_bytes(const ReplyFrame& frame, std::int32_t id) {
  const auto* tokenizer = frame.model.tokenizer();
  return tokenizer == nullptr ? "" : tokenizer->bytes_of(id);
}

/// U+FFFD for what is no whole character: tokens end anywhere.
std::string token_text(const ReplyFrame& frame, std::int32_t id) {
  std::string out;
  model::Utf8Assembler assembler;
  assembler.push(token_bytes(frame, id), out);
  assembler.finish(out);
  return out;
}

bool within_character(char byte) { return (byte & 0xc0) == 0x80; }

Alternatives at_most(Alternatives top, std::int32_t count) {
  return top.first(std::min(top.size(), static_cast<std::size_t>(std::max(count, 0))));
}

JsonObject chat_entry(const ReplyFrame& frame, std::int32_t id, float logprob) {
  JsonValue::Array numbers;
  for (const char byte : token_bytes(frame, id))
    numbers.push_back(json(int{static_cast<unsigned char>(byte)}));
  JsonObject entry;
  entry.add("token", token_text(frame, id))
      .add("logprob", logprob)
      .add("bytes", std::move(numbers));
  return entry;
}

/// The four lists of a text reply, filled token by token.
class TextLists {
 public:
  TextLists(const ReplyFrame& frame, const ChoiceState& choice, std::size_t& offset)
      : frame_(frame), choice_(choice), offset_(offset) {}

  void add(std::int32_t id, std::optional<float> logprob, Alternatives top) {
    tokens_.push_back(json(token_text(frame_, id)));
    logprobs_.push_back(logprob ? json(*logprob) : json_null());
    tops_.push_back(logprob ? by_text(id, *logprob, at_most(top, frame_.form.top_logprobs))
                            : json_null());
    const std::string_view bytes = shows(id) ? token_bytes(frame_, id) : "";
    const bool within = !bytes.empty() && within_character(bytes.front()) && offset_ > 0;
    offsets_.push_back(json(static_cast<std::int64_t>(offset_ - (within ? 1 : 0))));
    offset_ += static_cast<std::size_t>(std::count_if(
        bytes.begin(), bytes.end(), [](char byte) { return !within_character(byte); }));
  }
  JsonValue value() {
    JsonObject out;
    out.add("tokens", std::move(tokens_))
        .add("token_logprobs", std::move(logprobs_))
        .add("top_logprobs", frame_.form.top_logprobs > 0 ? json(std::move(tops_)) : json_null())
        .add("text_offset", std::move(offsets_));
    return out.value();
  }

 private:
  /// Special tokens have no part in a text, nor have those that end it.
  bool shows(std::int32_t id) const {
    const auto* tokenizer = frame_.model.tokenizer();
    return tokenizer != nullptr && !silent(choice_, id) && !tokenizer->is_special(id);
  }
  /// Keys are texts: of tokens that read alike the likeliest stays. The token's own is there too.
  JsonValue by_text(std::int32_t id, float logprob, Alternatives top) const {
    JsonObject out;
    std::set<std::string> seen;
    for (const model::TokenLogprob& one : top) {
      std::string text = token_text(frame_, one.token);
      if (seen.insert(text).second) out.add(std::move(text), one.logprob);
    }
    std::string own = token_text(frame_, id);
    if (!seen.contains(own)) out.add(std::move(own), logprob);
    return out.value();
  }

  const ReplyFrame& frame_;
  const ChoiceState& choice_;
  std::size_t& offset_;
  JsonValue::Array tokens_, logprobs_, tops_, offsets_;
};

}  // namespace

JsonValue chat_logprobs(const ReplyFrame& frame, const ChoiceState& choice,
                        const AnswerPiece& piece) {
  JsonValue::Array content;
  for (std::size_t i = 0; i < piece.logprobs.size(); ++i) {
    if (silent(choice, piece.ids[i])) continue;
    JsonObject entry = chat_entry(frame, piece.ids[i], piece.logprobs[i]);
    JsonValue::Array top;
    for (const model::TokenLogprob& one : piece.top_of(i))
      top.push_back(chat_entry(frame, one.token, one.logprob).value());
    content.push_back(entry.add("top_logprobs", std::move(top)).value());
  }
  JsonObject out;
  out.add("content", std::move(content)).add("refusal", json_null());
  return out.value();
}

JsonValue text_logprobs(const ReplyFrame& frame, const ChoiceState& choice,
                        const AnswerPiece& piece, bool with_prompt, std::size_t& offset) {
  TextLists lists(frame, choice, offset);
  if (with_prompt) {
    lists.add(choice.prompt_ids->front(), std::nullopt, {});
    for (const actors::PromptLogprob& one : choice.whole.prompt)
      lists.add(one.token, one.logprob, one.top);
  }
  for (std::size_t i = 0; i < piece.logprobs.size(); ++i)
    lists.add(piece.ids[i], piece.logprobs[i], piece.top_of(i));
  return lists.value();
}

JsonValue prompt_logprobs(const ReplyFrame& frame, const ChoiceState& choice) {
  const auto entry = [&](const model::TokenLogprob& one, std::int64_t rank) {
    JsonObject out;
    out.add("logprob", one.logprob)
        .add("rank", rank)
        .add("decoded_token", token_text(frame, one.token));
    return out.value();
  };
  JsonValue::Array out{json_null()};
  for (const actors::PromptLogprob& asked : choice.whole.prompt) {
    JsonObject position;
    bool own = false;
    std::int64_t rank = 0;
    for (const auto& one : at_most(asked.top, *frame.form.prompt_logprobs)) {
      position.add(std::to_string(one.token), entry(one, ++rank));
      own = own || one.token == asked.token;
    }
    if (!own)
      position.add(std::to_string(asked.token), entry({asked.token, asked.logprob}, asked.rank));
    out.push_back(position.value());
  }
  return json(std::move(out));
}

}  // namespace troupe::services::http
