// One line of `troupe eval tokenizer`: a JSON question in, a JSON answer out.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/tokenizer/tokenizer.hpp"

namespace troupe::model {

/// A stretch of a rendered chat; trusted when the template wrote it, not a message.
struct RenderedSegment {
  std::string text;
  bool trusted = false;
};

/// Renders a line {"messages"[, "add_generation_prompt", template variables]}, given as it stands
/// in the file. Empty when there is no template.
using ChatRenderer = std::function<Expected<std::vector<RenderedSegment>>(std::string_view line)>;

struct EvalAnswer {
  std::string json;  // one line without its end, ASCII only
  bool ok = true;    // false: json is {"error": text}
};

/// Answers one line:
///   {"text"[, "special"]}  -> {"ids", "text", "steps", "tail"}; special false: no added tokens
///   {"ids"}                -> the same
///   {"messages", ...}      -> {"rendered", "ids", "served_ids"}; `ids` recognises every added
///   token
///                             of the rendered text, `served_ids` those of trusted segments
/// `steps` has what appears after each id, special tokens shown; text = joined steps + tail.
/// A line with several of the three keys is taken by the order messages, text, ids.
EvalAnswer eval_tokenizer_line(const Tokenizer& tokenizer, const ChatRenderer& render,
                               std::string_view line);

}  // namespace troupe::model
