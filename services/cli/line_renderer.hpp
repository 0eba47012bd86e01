// Chat rendering for `troupe eval tokenizer`.
#pragma once
#include <string>

#include "core/expected.hpp"
#include "model/tokenizer/eval_lines.hpp"

namespace troupe::services {

/// Renders {"messages"} lines with the template in `template_file`, or the tokenizer's own if that
/// is empty. *Errors*: those of reading and parsing the template.
Expected<model::ChatRenderer> line_renderer(const model::Tokenizer& tokenizer,
                                            const std::string& template_file);

}  // namespace troupe::services
