// Any text as a model's answer: content, reasoning and tool calls do not depend on how it is cut,
// and calls begin, go on and end in order.
#include <string>
#include <string_view>
#include <vector>

#include "core/check.hpp"
#include "model/chat/answer/answer_parser.hpp"
#include "tests/fuzz/fuzz_target.hpp"

using namespace troupe::model;

namespace {

using Kind = AnswerEvent::Kind;
using Events = std::vector<AnswerEvent>;

void append(Events& all, const Events& more) {
  for (const AnswerEvent& event : more) {
    const bool goes_on = !all.empty() && all.back().kind == event.kind &&
                         all.back().call == event.call && event.kind != Kind::tool_call_begin &&
                         event.kind != Kind::tool_call_end;
    if (goes_on)
      all.back().text += event.text;
    else
      all.push_back(event);
  }
}

bool inside_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// The answer in pieces of `characters` whole characters.
Events events_of(std::string_view text, std::size_t characters, const AnswerOptions& options) {
  AnswerParser parser(options);
  Events events;
  while (!text.empty()) {
    std::size_t end = 0;
    for (std::size_t taken = 0; end < text.size() && taken < characters; ++taken) {
      ++end;
      while (end < text.size() && inside_character(text[end])) ++end;
    }
    append(events, parser.feed(text.substr(0, end)));
    text.remove_prefix(end);
  }
  append(events, parser.finish());
  return events;
}

void check_order(const Events& events) {
  std::int32_t call = -1;
  bool open = false;
  for (const AnswerEvent& event : events) {
    const bool of_call = event.kind != Kind::content && event.kind != Kind::reasoning;
    if (event.kind == Kind::tool_call_begin) {
      ++call;
      TROUPE_CHECK(!open && !event.text.empty(), event.text);
      TROUPE_CHECK(event.text.size() <= AnswerParser::kHeadBytesMax, event.text);
    }
    TROUPE_CHECK(of_call ? event.call == call : !open && event.call == -1, event.text);
    TROUPE_CHECK(event.kind != Kind::tool_call_end || (open && event.text.empty()), event.text);
    TROUPE_CHECK(event.kind != Kind::tool_call_arguments || open, event.text);
    open = of_call && event.kind != Kind::tool_call_end;
  }
  TROUPE_CHECK(!open, "a call that does not end");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  AnswerOptions options;
  options.format.tool_calls = static_cast<ToolCallFormat>(data[0] % 3);
  options.format.reasoning = (data[0] & 4) != 0;
  options.starts_in_reasoning = options.format.reasoning && (data[0] & 8) != 0;
  options.spelled = (1u << kMarkers) - 1;  // this vocabulary has no tokens for markers
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Events whole = events_of(text, size, options);
  check_order(whole);
  for (const std::size_t characters : {std::size_t{1}, std::size_t{3}})
    TROUPE_CHECK(events_of(text, characters, options) == whole, text);
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  const std::string begin = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>";
  const std::string end = "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
  const std::string separator = "<｜tool▁sep｜>";
  return {
      "1Hello" + begin + "function" + separator + "f\n```json\n{\"a\": 1}\n```" + end + " bye",
      "2" + begin + "get_x" + separator + "{\"b\":[2]}<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>g" +
          separator + "{}" + end,
      std::string("\x0e") + "thinking</think>\n\nanswer <think> no",
      std::string("\x05") + "<think>a</think>b" + begin + "function" + separator,
      "1" + begin + "no call" + end + "<｜tool▁cal",
  };
}
