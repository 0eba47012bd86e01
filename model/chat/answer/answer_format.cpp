// Looks for what only one family's templates contain.
#include "model/chat/answer/answer_format.hpp"

#include <array>
#include <string>

namespace troupe::model {
namespace {

struct Name {
  ToolCallFormat format;
  std::string_view text;
};
constexpr std::array<Name, 3> kNames{{{ToolCallFormat::none, "none"},
                                      {ToolCallFormat::deepseek_v3, "deepseek_v3"},
                                      {ToolCallFormat::deepseek_v31, "deepseek_v31"}}};

bool has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

AnswerFormat answer_format_of(std::string_view chat_template) {
  AnswerFormat format;
  format.reasoning = has(chat_template, "</think>") || has(chat_template, "<think>");
  // Some templates write the last sign of a marker apart, to keep it from being read as one.
  const bool calls = has(chat_template, "<｜tool▁calls▁begin｜") &&
                     has(chat_template, "<｜tool▁call▁begin｜") &&
                     has(chat_template, "<｜tool▁sep｜") && !has(chat_template, "｜DSML｜");
  if (calls) {
    format.tool_calls =
        has(chat_template, "```json") ? ToolCallFormat::deepseek_v3 : ToolCallFormat::deepseek_v31;
  }
  return format;
}

std::string_view to_string(ToolCallFormat format) {
  for (const Name& name : kNames) {
    if (name.format == format) return name.text;
  }
  return "none";
}

Expected<ToolCallFormat> parse_tool_call_format(std::string_view name) {
  for (const Name& known : kNames) {
    if (known.text == name) return known.format;
  }
  return unexpected(Errc::unsupported, "tool call format \"" + std::string(name) +
                                           "\": there are none, deepseek_v3 and deepseek_v31");
}

bool opens_reasoning(std::string_view rendered_prompt) {
  const std::size_t last = rendered_prompt.find_last_not_of(" \t\r\n");
  return last != rendered_prompt.npos && rendered_prompt.substr(0, last + 1).ends_with("<think>");
}

}  // namespace troupe::model
