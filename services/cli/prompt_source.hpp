// Where the text of a prompt comes from: the command line, a file, or standard input.
#pragma once
#include <string>

#include "core/expected.hpp"

namespace troupe::services {

struct PromptFlags {
  std::string argument;     // PROMPT; "-" is standard input
  std::string prompt_file;  // --prompt-file
  bool argument_given = false;
};

/// The prompt's bytes as they are. Without argument and file, standard input is read if it is no
/// terminal. *Errors*: `invalid_argument` for none or two sources or more than 256 MiB;
/// those of `read_input`.
Expected<std::string> read_prompt(const PromptFlags& flags);

/// *Errors*: `invalid_argument` naming the byte where `text` stops being UTF-8.
Expected<void> require_utf8(std::string_view text, std::string_view what);

}  // namespace troupe::services
