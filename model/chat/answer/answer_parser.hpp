// Splits an answer, as it is written, into content, reasoning and tool calls.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/chat/answer/answer_format.hpp"
#include "model/chat/answer/marker.hpp"

namespace troupe::model {

struct AnswerOptions {
  AnswerFormat format;
  bool starts_in_reasoning = false;  // opens_reasoning() of the prompt
  /// Markers that are no token of their own in this vocabulary: they are found in plain text. All
  /// others count only where they come as that token.
  MarkerSet spelled = 0;
};

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
/// back as content, its markers spelled out; only white space between calls and the fence around
/// arguments are dropped. Text is held back only while it can still be part of a marker, of a
/// call's head or of a fence: at most kHeadBytesMax and a marker. A call that the answer ends in is
/// closed; its arguments may then be no JSON. A call without arguments has {}.
/// *Source*: specification 7.6. *Threading*: one thread at a time.
class AnswerParser {
 public:
  /// A call's type and name are shorter; longer text after a call's marker is content.
  static constexpr std::size_t kHeadBytesMax = 512;

  explicit AnswerParser(AnswerOptions options);

  /// The next piece of text. `added_token`: the piece is the text of one added token.
  std::vector<AnswerEvent> feed(std::string_view text, bool added_token = false);
  /// The answer is over: what was held back, and the end of a call that is open.
  std::vector<AnswerEvent> finish();

  /// Tool calls begun so far: above 0, the finish reason is "tool_calls".
  std::int32_t calls() const { return call_ + 1; }

 private:
  enum class State : std::uint8_t {
    content,    // also after a region of calls
    reasoning,  // between <think> and </think>
    calls,      // between calls
    head,       // after a call's marker, until its name is known
    fence,      // after the name: a fence may open here
    arguments
  };

  MarkerSet markers_here() const;
  void on_text(std::string_view text);
  void on_marker(Marker marker);
  void on_region_marker(Marker marker);
  void between_calls(std::string_view text);
  void on_head(std::string_view text);
  void on_head_marker(Marker marker);
  void on_fence(std::string_view text);
  void on_arguments(std::string_view text);
  void begin_call(std::string_view name);
  void end_call();
  void no_call();
  void emit(AnswerEvent::Kind kind, std::string_view text);

  AnswerOptions options_;
  State state_ = State::content;
  bool reasoned_ = false;  // reasoning has been there, or content: <think> is text from now on
  MarkerFinder finder_;
  std::string raw_;   // since the region's or the call's begin, until a name is known
  std::string held_;  // a fence that may be opening, or the end of arguments that may be one
  std::size_t name_begin_ = 0;  // in raw_: what follows the separator; 0 before it
  std::size_t head_begin_ = 0;  // in raw_: what follows the call's marker
  bool fenced_ = false;
  bool argued_ = false;  // some of the arguments have been given out
  std::int32_t call_ = -1;
  std::vector<AnswerEvent> events_;
};

}  // namespace troupe::model
