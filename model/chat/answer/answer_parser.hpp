// Splits an answer, as it is written, into content, reasoning and tool calls.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/chat/answer/answer_format.hpp"
#include "model/tokenizer/tokenizer.hpp"

namespace troupe::model {

/// What an answer's structure is written with.
enum class Marker : std::uint8_t {
  think_begin,
  think_end,
  calls_begin,
  calls_end,
  call_begin,
  call_end,
  separator
};
inline constexpr std::size_t kMarkers = 7;
/// "<think>", "<｜tool▁calls▁begin｜>", ...
std::string_view text_of(Marker marker);

struct AnswerOptions {
  AnswerFormat format;
  bool starts_in_reasoning = false;  // opens_reasoning() of the prompt
  /// Bit per Marker that is no token of its own in this vocabulary: it is found in plain text. All
  /// others count only where they come as that token. See spelled_markers().
  std::uint8_t spelled = 0;
};

/// AnswerOptions::spelled for a tokenizer: the markers that are not added tokens of it.
std::uint8_t spelled_markers(const Tokenizer& tokenizer);

struct AnswerEvent {
  enum class Kind : std::uint8_t {
    content,              // text
    reasoning,            // text
    tool_call_begin,      // text: the function's name, whole
    tool_call_arguments,  // text: the next part of the arguments, as the model wrote them
    tool_call_end
  };
  Kind kind = Kind::content;
  std::int32_t call = -1;  // index of the tool call, from 0; -1 for content and reasoning
  std::string text;

  friend bool operator==(const AnswerEvent&, const AnswerEvent&) = default;
};

/// A state machine over characters: events, with texts of neighbours of one kind joined, do not
/// depend on how the answer is cut into pieces. No text is lost: what turns out to be no call comes
/// back as content, its markers spelled out. Text is held back only while it can still be part of a
/// marker, of a call's head or of the fence around arguments; at most 1 KiB.
/// *Threading*: one thread at a time.
class AnswerParser {
 public:
  explicit AnswerParser(AnswerOptions options);

  /// The next piece of text. `added_token`: the piece is the text of one added token.
  std::vector<AnswerEvent> feed(std::string_view text, bool added_token = false);
  /// The answer is over: what was held back, and the end of a call that is open.
  std::vector<AnswerEvent> finish();

  /// Tool calls begun so far: above 0, the finish reason is "tool_calls".
  std::int32_t calls() const { return calls_; }

 private:
  std::int32_t calls_ = 0;
  AnswerOptions options_;
};

}  // namespace troupe::model
