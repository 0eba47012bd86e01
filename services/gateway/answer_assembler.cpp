// Detokenizer, parser and stop matcher one behind the other.
#include "services/gateway/answer_assembler.hpp"

#include <algorithm>

namespace troupe::services {

std::span<const model::TokenLogprob> AnswerPiece::top_of(std::size_t index) const {
  const std::size_t each = ids.empty() ? 0 : top.size() / ids.size();
  return std::span(top).subspan(index * each, each);
}

std::size_t AnswerPiece::bytes() const {
  std::size_t sum = ids.size() * 4 + logprobs.size() * 4 + top.size() * sizeof(top[0]) +
                    text.size() + reasoning.size();
  for (const ToolCallPiece& call : calls)
    sum += sizeof call + call.name.size() + call.arguments.size();
  return sum;
}

void AnswerPiece::append(const AnswerPiece& more) {
  prompt.insert(prompt.end(), more.prompt.begin(), more.prompt.end());
  ids.insert(ids.end(), more.ids.begin(), more.ids.end());
  logprobs.insert(logprobs.end(), more.logprobs.begin(), more.logprobs.end());
  top.insert(top.end(), more.top.begin(), more.top.end());
  text += more.text;
  reasoning += more.reasoning;
  for (const ToolCallPiece& call : more.calls) add_piece(calls, call);
}

AnswerAssembler::AnswerAssembler(AnswerForm form)
    : form_(std::move(form)), matcher_(form_.stops, form_.include_stop) {
  if (form_.tokenizer == nullptr) return;
  detokenizer_.emplace(*form_.tokenizer, true);
  if (form_.parts) parser_.emplace(*form_.parts);
}

void AnswerAssembler::push(const actors::TokenNews& news, AnswerPiece& out) {
  if (ended()) return;
  if (tokens_ >= form_.told) return take(news, out);
  AnswerPiece known;
  take(news, known);
}

void AnswerAssembler::take(const actors::TokenNews& news, AnswerPiece& out) {
  const std::int32_t id = news.token;
  ++tokens_;
  out.ids.push_back(id);
  if (form_.logprobs) {
    out.logprobs.push_back(news.logprob);
    out.top.insert(out.top.end(), news.top.begin(), news.top.end());
  }
  silent_end_ = silent(id) ? std::optional(id) : std::nullopt;
  if (detokenizer_ && !silent_end_) add_token(id, out);
}

/// Markers may be special tokens, which otherwise have no text.
void AnswerAssembler::add_token(std::int32_t id, AnswerPiece& out) {
  if (!parser_) return add_text(detokenizer_->push(id), out);
  const model::Tokenizer& tokenizer = *form_.tokenizer;
  const bool added = tokenizer.is_added(id);
  if (!added) return add_events(parser_->feed(detokenizer_->push(id)), out);
  const std::string text(tokenizer.bytes_of(id));
  if (tokenizer.is_special(id) && !model::marker_of(text)) return;
  add_events(parser_->feed(detokenizer_->finish()), out);
  add_events(parser_->feed(text, true), out);
}

void AnswerAssembler::add_events(std::vector<model::AnswerEvent> events, AnswerPiece& out) {
  using Kind = model::AnswerEvent::Kind;
  for (model::AnswerEvent& event : events) {
    if (ended()) return;
    switch (event.kind) {
      case Kind::content: add_text(event.text, out); break;
      case Kind::reasoning:
        if (form_.reasoning) out.reasoning += event.text;
        break;
      case Kind::tool_call_begin:
        add_piece(out.calls, {event.call, std::move(event.text), ""});
        break;
      case Kind::tool_call_arguments:
        add_piece(out.calls, {event.call, "", std::move(event.text)});
        break;
      case Kind::tool_call_end: call_complete_ = form_.one_call; break;
    }
  }
}

void AnswerAssembler::finish(AnswerPiece& out) {
  if (matcher_.matched()) return;
  if (parser_) {
    add_events(parser_->feed(detokenizer_->finish()), out);
    add_events(parser_->finish(), out);
  } else if (detokenizer_) {
    add_text(detokenizer_->finish(), out);
  }
  if (!matcher_.matched()) matcher_.finish(out.text);
}

void AnswerAssembler::add_text(const std::string& text, AnswerPiece& out) {
  if (tokens_ < form_.min_tokens) {
    out.text += text;
  } else {
    matcher_.push(text, out.text);
  }
}

std::optional<std::string> AnswerAssembler::stop_match() const {
  if (!matcher_.matched()) return std::nullopt;
  return form_.stops[*matcher_.matched()];
}

bool AnswerAssembler::silent(std::int32_t id) const {
  return std::find(form_.silent_ids.begin(), form_.silent_ids.end(), id) != form_.silent_ids.end();
}

}  // namespace troupe::services
