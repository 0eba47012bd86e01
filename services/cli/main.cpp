// The `troupe` program: hands the command line to its sub-command.
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "model/checkpoint/mapped_files.hpp"
#include "services/cli/command.hpp"
#include "services/cli/command_line.hpp"
#include "services/cli/help.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/last_resort.hpp"
#include "services/runtime/suggest.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

using Words = std::vector<std::string>;

struct HelpRequest {
  HelpDetail detail = HelpDetail::first_screen;
  std::string word;
};

/// What --help, -h or --help-all in front of a bare `--` asks for.
std::optional<HelpRequest> help_request(const Words& words) {
  for (std::size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    if (words[i] == "--help-all") return HelpRequest{HelpDetail::everything, ""};
    if (words[i].starts_with("--help=")) return HelpRequest{{}, words[i].substr(7)};
    if (words[i] != "--help" && words[i] != "-h") continue;
    return HelpRequest{HelpDetail::first_screen, i + 1 < words.size() ? words[i + 1] : ""};
  }
  return std::nullopt;
}

int general(const Words& words) {
  const auto help = help_request(words);
  if (help && !help->word.empty()) return print_result(help_search(commands(), help->word));
  if (help && help->detail == HelpDetail::everything) {
    std::string out = general_help();
    for (const Command& command : commands()) {
      out += "\n== troupe " + command.name + "\n" + command_help(command, help->detail);
    }
    return print_result(out);
  }
  if (help) return print_result(general_help());
  std::fputs(general_help().c_str(), stderr);
  return report(Fault::missing_argument, "no command given. Try `troupe chat`");
}

/// `troupe model`, `troupe eval --help`: the commands that begin with the word.
std::optional<int> family(const Words& words) {
  std::string listed;
  for (const Command& command : commands()) {
    if (!command.name.starts_with(words[0] + " ")) continue;
    listed += "  " + command.usage + "\n      " + command.summary + "\n";
  }
  if (listed.empty()) return std::nullopt;
  if (help_request(words)) return print_result("Usage:\n" + listed);
  if (words.size() > 1) return std::nullopt;
  return report(Fault::missing_argument,
                "troupe " + words[0] + " needs a further word. Usage:\n" + listed);
}

int unknown(const Words& words) {
  if (const auto answered = family(words)) return *answered;
  if (words[0].starts_with("-")) {
    return report(Fault::unknown_flag, "flags follow the command, and " + words[0] +
                                           " comes before one. Usage: troupe COMMAND [flags]");
  }
  Words known;
  std::string given = words[0];
  for (const Command& command : commands()) {
    if (command.name.starts_with(words[0] + " ") && words.size() > 1)
      given = words[0] + " " + words[1];
    known.push_back(command.name);
  }
  if (words.size() > 1 && !nearest_word(given, known) &&
      nearest_word(given + " " + words[1], known))
    given += " " + words[1];
  return report(Fault::unknown_command, "troupe has no command \"" + given + "\"" +
                                            did_you_mean(given, known) +
                                            " `troupe --help` lists the commands");
}

int run(const Command& command, const Words& words) {
  if (const auto help = help_request(words)) {
    if (help->word.empty()) return print_result(command_help(command, help->detail));
    return print_result(help_search({&command, 1}, help->word));
  }
  OptionSet options;
  const auto work = command.make(options);
  if (const auto failed = parse_command_line(command, options, words)) return *failed;
  return work();
}

int dispatch(const Words& words) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "--help-all" ||
      words[0].starts_with("--help=")) {
    return general(words);
  }
  if (words[0] == "--version") return dispatch({"version"});
  if (words[0] == "help") {
    Words asked(words.begin() + 1, words.end());
    asked.push_back("--help");
    return dispatch(asked);
  }
  for (const Command& command : commands()) {
    const bool two = command.name.find(' ') != std::string::npos;
    const std::size_t taken = two ? 2 : 1;
    if (words.size() < taken) continue;
    const std::string given = two ? words[0] + " " + words[1] : words[0];
    if (given == command.name)
      return run(command, Words(words.begin() + static_cast<long>(taken), words.end()));
  }
  return unknown(words);
}

/// Before the constructors of the libraries: UCX's opens an event descriptor, which would get the
/// number of a standard descriptor that is closed.
[[gnu::section(".preinit_array"),
  gnu::used]] void (*const first_of_all)() = keep_standard_descriptors;

}  // namespace
}  // namespace troupe::services

int main(int argc, char** argv) {
  troupe::services::install_interrupts();
  troupe::model::install_sigbus_handler();
  return troupe::services::with_last_resort([&] {
    return troupe::services::dispatch({argv + 1, argv + argc});
  });
}
