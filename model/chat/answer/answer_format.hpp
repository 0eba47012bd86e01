// How a model writes reasoning and tool calls, told from its chat template.
#pragma once
#include <cstdint>
#include <string_view>

#include "core/expected.hpp"

namespace troupe::model {

/// *Source*: specification 7.3 to 7.6.
enum class ToolCallFormat : std::uint8_t {
  none,         // tool calls are not looked for
  deepseek_v3,  // V3, V3-0324, R1: type<sep>name, a newline, the arguments in a ```json fence
  deepseek_v31  // V3.1: name<sep>arguments
};

struct AnswerFormat {
  ToolCallFormat tool_calls = ToolCallFormat::none;
  bool reasoning = false;  // <think> and </think> are markers

  friend bool operator==(const AnswerFormat&, const AnswerFormat&) = default;
};

/// The format that assistant turns have in this chat template. Templates of other families
/// (V3.2's DSML among them) give ToolCallFormat::none.
AnswerFormat answer_format_of(std::string_view chat_template);

/// "none", "deepseek_v3", "deepseek_v31", as configuration spells an override.
std::string_view to_string(ToolCallFormat format);
/// *Errors*: `unsupported` with the name and those that exist.
Expected<ToolCallFormat> parse_tool_call_format(std::string_view name);

/// Whether the answer to this prompt starts inside reasoning: the prompt ends with <think> (R1,
/// V3.1 while thinking), white space aside.
bool opens_reasoning(std::string_view rendered_prompt);

}  // namespace troupe::model
