// Reads prompts and checks that they are UTF-8.
#include "services/cli/prompt_source.hpp"

#include "model/tokenizer/utf8.hpp"
#include "services/cli/input_file.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

constexpr std::size_t kPromptBytesMax = std::size_t{256} << 20;
constexpr const char* kNoPrompt =
    "no prompt given. Usage: troupe run [flags] \"prompt\", or - for standard input";

}  // namespace

Expected<std::string> read_prompt(const PromptFlags& flags) {
  if (flags.argument_given && !flags.prompt_file.empty()) {
    return unexpected(Errc::invalid_argument,
                      "both a prompt and --prompt-file are given. Leave one out");
  }
  if (!flags.prompt_file.empty() && flags.prompt_file != "-") {
    return read_input(flags.prompt_file, kPromptBytesMax);
  }
  if (flags.argument_given && flags.argument != "-") return flags.argument;
  const bool asked_for = flags.argument_given || !flags.prompt_file.empty();
  if (!asked_for && stdin_is_terminal()) return unexpected(Errc::invalid_argument, kNoPrompt);
  auto text = read_input("-", kPromptBytesMax);
  if (!asked_for && text && text->empty()) return unexpected(Errc::invalid_argument, kNoPrompt);
  return text;
}

Expected<void> require_utf8(std::string_view text, std::string_view what) {
  const auto at = model::first_invalid_utf8(text);
  if (!at) return {};
  return unexpected(Errc::invalid_argument,
                    std::string(what) + " is not UTF-8: byte " + std::to_string(*at) +
                        " cannot stand there. Convert it with `iconv -t UTF-8`");
}

}  // namespace troupe::services
