// Tokenizing by CLI11, which is included here only; values, errors and help are ours.
#include "services/cli/command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "services/runtime/faults.hpp"
#include "services/runtime/suggest.hpp"

namespace troupe::services {
namespace {

std::optional<int> assign_environment(const OptionSet& options) {
  for (const Option& option : options.all()) {
    if (option.positional()) continue;
    const std::string variable = option.environment();
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') continue;
    const Assign& assign = option.assign_variable ? option.assign_variable : option.assign;
    if (auto assigned = assign(value); !assigned) {
      return report(Fault::bad_environment, "environment variable " + variable + " (" +
                                                option.name + ") " + assigned.error().detail +
                                                ". Change or unset it");
    }
  }
  return std::nullopt;
}

void declare(CLI::App& app, const OptionSet& options) {
  app.set_help_flag();
  app.allow_extras();
  for (const Option& option : options.all()) {
    if (option.is_switch()) {
      app.add_flag(option.name)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      continue;
    }
    std::string name = option.positional() ? "positional_" + option.name : option.name;
    if (!option.letter.empty()) name.insert(0, option.letter + ",");
    auto* added = app.add_option(name)->type_size(1)->expected(1);
    added->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
}

const CLI::Option* declared(const CLI::App& app, const Option& option) {
  return app.get_option(option.positional() ? "positional_" + option.name : option.name);
}

int report_surplus(const std::string& extra, const Command& command) {
  return report(Fault::surplus_argument, "troupe " + command.name + " cannot use the argument \"" +
                                             extra.substr(0, 80) + "\". Usage: " + command.usage);
}

/// "MODEL" for "--model", which other commands have, where this one takes MODEL as it stands; else
/// empty.
std::string positional_of(const std::string& flag, const OptionSet& options) {
  std::string word = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  for (char& c : word) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  for (const Option& option : options.all())
    if (option.positional() && option.name == word) return word;
  return "";
}

int report_unknown(const std::string& extra, const Command& command, const OptionSet& options) {
  const std::string where = "troupe " + command.name;
  std::vector<std::string> known{"--help", "--help-all"};
  for (const Option& option : options.all()) {
    if (!option.positional()) known.push_back(option.name);
  }
  const std::string flag = extra.substr(0, extra.find('='));
  if (const std::string word = positional_of(flag, options); !word.empty())
    return report(Fault::unknown_flag, where + " takes " + word + " without a flag, not " + flag +
                                           ". Usage: " + command.usage);
  return report(Fault::unknown_flag,
                where + " has no flag " + flag + did_you_mean(flag, known) + " `" + where +
                    " --help-all` lists the flags; text that begins with a dash goes behind --");
}

/// Flags first: a value that a misspelt flag left over is not the mistake. Behind "--" nothing is a
/// flag.
std::optional<int> check_extras(const CLI::App& app, const Command& command,
                                const OptionSet& options) {
  const std::vector<std::string> extras = app.remaining();
  const auto marker = std::find(extras.begin(), extras.end(), "--");
  for (auto extra = extras.begin(); extra != marker; ++extra) {
    if (extra->size() > 1 && extra->front() == '-') return report_unknown(*extra, command, options);
  }
  for (const std::string& extra : extras) {
    if (extra != "--") return report_surplus(extra, command);
  }
  return std::nullopt;
}

std::optional<int> assign_words(const CLI::App& app, const Command& command,
                                const OptionSet& options) {
  for (const Option& option : options.all()) {
    const auto values = declared(app, option)->results();
    if (values.empty() && option.required) {
      return report(Fault::missing_argument, "troupe " + command.name + " needs " + option.name +
                                                 ". Usage: " + command.usage);
    }
    for (std::size_t i = option.repeats || values.empty() ? 0 : values.size() - 1;
         i < values.size(); ++i) {
      if (auto assigned = option.assign(values[i]); !assigned) {
        return report(Fault::bad_value, option.name + " " + assigned.error().detail +
                                            ". See `troupe " + command.name + " --help " +
                                            option.name + "`");
      }
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<int> parse_command_line(const Command& command, OptionSet& options,
                                      std::span<const std::string> words) {
  if (auto failed = assign_environment(options)) return failed;
  CLI::App app;
  try {
    declare(app, options);
    app.parse(
        std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 wants the last first
  } catch (const CLI::ArgumentMismatch& mismatch) {
    const std::string what = mismatch.what();  // "--layout: 1 required ... missing"
    return report(Fault::missing_argument,
                  what.substr(0, what.find(':')) + " needs a value. Usage: " + command.usage);
  } catch (const CLI::Error& error) {
    return report(Fault::bad_value, std::string(error.what()) + ". Usage: " + command.usage);
  }
  if (auto failed = check_extras(app, command, options)) return failed;
  return assign_words(app, command, options);
}

}  // namespace troupe::services
