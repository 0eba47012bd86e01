// Detokenizer and stop matcher one behind the other.
#include "services/gateway/answer_assembler.hpp"

#include <algorithm>

namespace troupe::services {

void AnswerPiece::append(const AnswerPiece& more) {
  ids.insert(ids.end(), more.ids.begin(), more.ids.end());
  logprobs.insert(logprobs.end(), more.logprobs.begin(), more.logprobs.end());
  text += more.text;
}

AnswerAssembler::AnswerAssembler(AnswerForm form) : form_(std::move(form)), matcher_(form_.stops) {
  if (form_.tokenizer != nullptr) detokenizer_.emplace(*form_.tokenizer, true);
}

void AnswerAssembler::push(std::int32_t id, float logprob, AnswerPiece& out) {
  if (matcher_.matched()) return;
  ++tokens_;
  out.ids.push_back(id);
  if (form_.logprobs) out.logprobs.push_back(logprob);
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
