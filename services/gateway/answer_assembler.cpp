// Detokenizer and stop matcher one behind the other.
#include "services/gateway/answer_assembler.hpp"

#include <algorithm>

namespace troupe::services {

std::span<const model::TokenLogprob> AnswerPiece::top_of(std::size_t index) const {
  const std::size_t each = ids.empty() ? 0 : top.size() / ids.size();
  return std::span(top).subspan(index * each, each);
}

void AnswerPiece::append(const AnswerPiece& more) {
  prompt.insert(prompt.end(), more.prompt.begin(), more.prompt.end());
  ids.insert(ids.end(), more.ids.begin(), more.ids.end());
  logprobs.insert(logprobs.end(), more.logprobs.begin(), more.logprobs.end());
  top.insert(top.end(), more.top.begin(), more.top.end());
  text += more.text;
}

AnswerAssembler::AnswerAssembler(AnswerForm form) : form_(std::move(form)), matcher_(form_.stops) {
  if (form_.tokenizer != nullptr) detokenizer_.emplace(*form_.tokenizer, true);
}

void AnswerAssembler::push(const actors::TokenNews& news, AnswerPiece& out) {
  if (matcher_.matched()) return;
  const std::int32_t id = news.token;
  ++tokens_;
  out.ids.push_back(id);
  if (form_.logprobs) {
    out.logprobs.push_back(news.logprob);
    out.top.insert(out.top.end(), news.top.begin(), news.top.end());
  }
  silent_end_ = silent(id) ? std::optional(id) : std::nullopt;
  if (detokenizer_ && !silent_end_) add_text(detokenizer_->push(id), out);
}

void AnswerAssembler::finish(AnswerPiece& out) {
  if (matcher_.matched()) return;
  if (detokenizer_) add_text(detokenizer_->finish(), out);
  matcher_.finish(out.text);
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
