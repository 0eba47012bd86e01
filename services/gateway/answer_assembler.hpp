// Tokens of one answer to pieces of it: ids at once, text in whole characters up to a stop string.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "actors/request.hpp"
#include "model/chat/answer/answer_parser.hpp"
#include "model/tokenizer/detokenizer.hpp"
#include "services/gateway/stop_matcher.hpp"
#include "services/gateway/tool_calls.hpp"

namespace troupe::services {

struct AnswerForm {
  const model::Tokenizer* tokenizer = nullptr;  // null: no text; must outlive the assembler
  std::vector<std::int32_t> silent_ids;         // stop ids: end the answer and show no text
  std::vector<std::string> stops;
  bool include_stop = false;    // the one that ends the answer is part of it
  std::int64_t min_tokens = 0;  // no stop string ends the answer before it has as many
  bool logprobs = false;
  std::optional<model::AnswerOptions> parts;  // none: all of the text is content
  bool reasoning = true;                      // thoughts are given out
  bool one_call = false;                      // the end of a call ends the answer
  std::int64_t told = 0;                      // tokens that were told before: nothing of them is
};

/// A piece of an answer. Pieces are joined member by member.
struct AnswerPiece {
  /// Of the prompt's tokens behind its first one, if they were asked for; in front of all else.
  std::vector<actors::PromptLogprob> prompt;
  std::vector<std::int32_t> ids;
  std::vector<float> logprobs;           // one per id, or none
  std::vector<model::TokenLogprob> top;  // as many for each id, likeliest first; or none
  std::string text;                      // content
  std::string reasoning;
  std::vector<ToolCallPiece> calls;

  bool empty() const {
    return prompt.empty() && ids.empty() && text.empty() && reasoning.empty() && calls.empty();
  }
  /// Memory the answer holds, in bytes. The prompt's logprobs, which its client has asked for and
  /// its prompt bounds, are not counted.
  std::size_t bytes() const;
  /// The alternatives of `ids[index]`.
  std::span<const model::TokenLogprob> top_of(std::size_t index) const;
  void append(const AnswerPiece& more);
};

/// *Threading*: one thread at a time.
class AnswerAssembler {
 public:
  explicit AnswerAssembler(AnswerForm form);

  /// Adds a token to `out`. Tokens behind the end do not count. What a token shows is a function of
  /// the tokens so far, so an answer that was told in part goes on where it was.
  void push(const actors::TokenNews& news, AnswerPiece& out);
  /// Adds what was held back, at the end of an answer that no stop string ended.
  void finish(AnswerPiece& out);

  /// A stop string has come up, or the only call is complete: the answer is over.
  bool ended() const { return matcher_.matched().has_value() || call_complete_; }
  /// The answer makes calls, which are complete if it has stopped by itself.
  bool calls() const { return parser_ && parser_->calls() > 0; }
  /// The stop string that ended the answer. They are looked for in content only.
  std::optional<std::string> stop_match() const;
  std::int64_t tokens() const { return tokens_; }
  /// The last token if it is one of the silent ones.
  std::optional<std::int32_t> silent_end() const { return silent_end_; }

 private:
  bool silent(std::int32_t id) const;
  void take(const actors::TokenNews& news, AnswerPiece& out);
  void add_token(std::int32_t id, AnswerPiece& out);
  void add_events(std::vector<model::AnswerEvent> events, AnswerPiece& out);
  void add_text(const std::string& text, AnswerPiece& out);

  AnswerForm form_;
  std::optional<model::Detokenizer> detokenizer_;
  std::optional<model::AnswerParser> parser_;
  StopMatcher matcher_;
  std::int64_t tokens_ = 0;
  std::optional<std::int32_t> silent_end_;
  bool call_complete_ = false;
};

}  // namespace troupe::services
