// Lays out help text from the option tables, at most 100 columns wide.
#include "services/cli/help.hpp"

#include <algorithm>
#include <cctype>

namespace troupe::services {
namespace {

constexpr std::size_t kNameColumn = 30;
constexpr std::size_t kColumns = 100;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// `left`, then `right` wrapped into the column behind it.
std::string two_columns(const std::string& left, std::string_view right) {
  std::string out = "  " + left;
  std::size_t column = out.size();
  if (column + 1 > kNameColumn) {
    out += "\n";
    column = 0;
  }
  out += std::string(kNameColumn - column, ' ');
  column = kNameColumn;
  while (!right.empty()) {
    const std::size_t end = std::min(right.find(' '), right.size());
    if (column + end > kColumns) {
      if (out.back() == ' ') out.pop_back();
      out += "\n" + std::string(kNameColumn, ' ');
      column = kNameColumn;
    }
    out += right.substr(0, end);
    column += end + 1;
    right.remove_prefix(std::min(end + 1, right.size()));
    if (!right.empty()) out += ' ';
  }
  return out + "\n";
}

std::string option_line(const Option& option, bool with_environment) {
  std::string left = option.letter.empty() ? option.name : option.letter + ", " + option.name;
  if (!option.value.empty()) left += " " + option.value;
  std::string right = option.help;
  if (with_environment && !option.positional()) right += " {" + option.environment() + "}";
  return two_columns(left, right);
}

std::string options_text(const OptionSet& options, HelpDetail detail) {
  std::string out;
  std::string group;
  for (const Option& option : options.all()) {
    const bool everything = detail == HelpDetail::everything;
    if (!everything && option.shown == Shown::help_all) continue;
    if (option.group != group) {
      group = option.group;
      out += "\n" + group + ":\n";
    }
    out += option_line(option, everything);
  }
  return out;
}

std::size_t hidden_count(const OptionSet& options) {
  return static_cast<std::size_t>(
      std::count_if(options.all().begin(), options.all().end(),
                    [](const Option& option) { return option.shown == Shown::help_all; }));
}

bool mentions(const std::string& text, const std::string& word) {
  return lower(text).find(word) != std::string::npos;
}

}  // namespace

std::string general_help() {
  std::string out = "troupe " TROUPE_VERSION
                    ": serves DeepSeek-V3-architecture models\n\n"
                    "Usage: troupe COMMAND [flags]\n\nCommands:\n";
  for (const Command& command : commands()) out += two_columns(command.name, command.summary);
  out +=
      "\nExamples:\n"
      "  troupe chat                                 talk to the bundled model\n"
      "  troupe run \"In the beginning\"               complete a text\n"
      "  troupe run --model DIR \"Once upon a time\"   with another model\n"
      "\n`troupe COMMAND --help` explains a command, `--help-all` shows every flag,\n"
      "`troupe --help WORD` searches all of them. Every flag has a variable TROUPE_FLAG_NAME;\n"
      "a flag wins over it.\n";
  return out;
}

std::string command_help(const Command& command, HelpDetail detail) {
  OptionSet options;
  const auto unused = command.make(options);
  std::string out = command.summary + "\n\nUsage: " + command.usage + "\n";
  out += options_text(options, detail);
  if (!command.examples.empty()) out += "\nExamples:\n";
  for (const std::string& example : command.examples) out += "  " + example + "\n";
  if (detail == HelpDetail::first_screen) {
    const std::size_t hidden = hidden_count(options);
    out += "\n";
    if (hidden > 0) out += std::to_string(hidden) + " more flags: --help-all. ";
    out += "Search: --help WORD. Variables: --help-all\n";
  }
  return out;
}

std::string help_search(std::span<const Command> among, std::string_view word) {
  const std::string wanted = lower(word);
  std::string out;
  for (const Command& command : among) {
    OptionSet options;
    const auto unused = command.make(options);
    std::string lines;
    for (const Option& option : options.all()) {
      if (mentions(
              option.name + " " + option.help + " " + option.group + " " + option.environment(),
              wanted)) {
        lines += option_line(option, true);
      }
    }
    if (lines.empty() && !mentions(command.name + " " + command.summary, wanted)) continue;
    out += "troupe " + command.name + ": " + command.summary + "\n" + lines;
  }
  return out.empty() ? "nothing in the help mentions \"" + std::string(word) + "\"\n" : out;
}

}  // namespace troupe::services
