// The table of slash commands and what each of them does.
#include "services/cli/chat_commands.hpp"

#include <algorithm>
#include <cstdio>

#include "services/cli/chat_file.hpp"
#include "services/cli/input_file.hpp"
#include "services/cli/prompt_source.hpp"
#include "services/gateway/tool_calls.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/suggest.hpp"

namespace troupe::services {
namespace {

constexpr std::string_view kCallIdBegin = "call_";  // of every id that a gateway makes
constexpr std::uint64_t kResultBytesMax = std::uint64_t{16} << 20;

void say(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

/// "max_tokens" of "--max-tokens", and back.
std::string key_of(const Option& option) {
  std::string key = option.name.substr(2);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string flag_of(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return "--" + key;
}

std::string counted(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

void show(const std::vector<ChatToolCall>& pending) {
  for (const ChatToolCall& call : pending)
    say("waits for its result: " + call.id + " " + call.name + "(" + call.arguments + ")");
}

/// What `given` says, or the file that it names behind an @. *Errors*: those of reading;
/// `invalid_argument` for what is empty or not UTF-8.
Expected<std::string> text_of(const std::string& given) {
  if (given.empty()) return unexpected(Errc::invalid_argument, "there is no text behind the id");
  const bool file = given.front() == '@';
  auto text = file ? read_input(given.substr(1), kResultBytesMax) : Expected<std::string>(given);
  if (!text) return text;
  if (auto valid = require_utf8(*text, file ? given.substr(1) : "it"); !valid)
    return unexpected(std::move(valid).error());
  return text;
}

struct CallResult {
  std::string id, text;
};

/// "[ID] TEXT" for the first of `pending`, or the one that it names. *Errors*: those of text_of();
/// `not_found` for an id that is none of theirs.
Expected<CallResult> result_of(const std::string& argument,
                               const std::vector<ChatToolCall>& pending) {
  const std::size_t space = std::min(argument.find_first_of(" \t"), argument.size());
  const std::string word = argument.substr(0, space);
  const bool known = std::any_of(pending.begin(), pending.end(),
                                 [&word](const ChatToolCall& call) { return call.id == word; });
  if (!known && word.starts_with(kCallIdBegin))
    return unexpected(Errc::not_found, word + " is no call that waits. /result shows those");
  const std::size_t begin = std::min(argument.find_first_not_of(" \t", space), argument.size());
  auto text = text_of(known ? argument.substr(begin) : argument);
  if (!text) return unexpected(std::move(text).error());
  return CallResult{known ? word : pending.front().id, *std::move(text)};
}

}  // namespace

struct ChatCommands::Entry {
  std::string name;
  std::string argument;
  std::string help;
  Result (ChatCommands::*run)(const std::string&);
};

const std::vector<ChatCommands::Entry>& ChatCommands::entries() {
  static const std::vector<Entry> all{
      {"/help", "", "shows this", &ChatCommands::help},
      {"/reset", "", "forgets what was said", &ChatCommands::reset},
      {"/system", "TEXT", "starts over with TEXT as the system message; alone: without one",
       &ChatCommands::system},
      {"/set", "KEY VALUE", "changes sampling from the next answer on; KEY alone: as at the start",
       &ChatCommands::set},
      {"/tools", "FILE", "lets answers call its functions; alone: which there are; off: none",
       &ChatCommands::tools},
      {"/result", "[ID] TEXT",
       "what a call has come to, the first one without ID; @FILE: a file's text; alone: which wait",
       &ChatCommands::result},
      {"/retry", "", "answers the last question again", &ChatCommands::retry},
      {"/undo", "", "takes the last question and its answer back", &ChatCommands::undo},
      {"/save", "FILE", "writes the conversation as JSON", &ChatCommands::save},
      {"/load", "FILE", "goes on with a conversation that was saved", &ChatCommands::load},
      {"/stats", "", "tokens and speed of this conversation", &ChatCommands::stats},
      {"/quit", "", "leaves (also Ctrl-D); Ctrl-C stops an answer", &ChatCommands::quit},
  };
  return all;
}

ChatCommands::ChatCommands(Conversation& conversation, SamplingOptions& sampling)
    : conversation_(conversation), sampling_(sampling), as_started_(sampling) {
  constexpr std::int64_t kNotShown = 0;  // the default in a help text that /set does not show
  sampling_.declare(options_, kNotShown);
}

ChatCommands::Result ChatCommands::run(const std::string& line) {
  const std::size_t space = std::min(line.find_first_of(" \t"), line.size());
  const std::string word = line.substr(0, space);
  const std::size_t begin = std::min(line.find_first_not_of(" \t", space), line.size());
  const std::string argument = line.substr(begin);
  if (word == "/exit") return quit(argument);
  std::vector<std::string> known;
  for (const Entry& entry : entries()) {
    if (entry.name == word) {
      if (argument.empty() || !entry.argument.empty()) return (this->*entry.run)(argument);
      warn(word + " takes nothing behind it");
      return {};
    }
    known.push_back(entry.name);
  }
  warn("there is no " + word + did_you_mean(word, known) + " /help lists them");
  return {};
}

ChatCommands::Result ChatCommands::help(const std::string&) {
  for (const Entry& entry : entries()) {
    const std::string left = entry.name + " " + entry.argument;
    std::fprintf(stderr, "%-17s %s\n", left.c_str(), entry.help.c_str());
  }
  return {};
}

ChatCommands::Result ChatCommands::reset(const std::string&) {
  conversation_.start_over(conversation_.system());
  return {};
}

ChatCommands::Result ChatCommands::system(const std::string& argument) {
  if (const auto valid = require_utf8(argument, "the system message"); !valid) {
    warn(valid.error().detail);
  } else {
    conversation_.start_over(argument);
  }
  return {};
}

void ChatCommands::show_settings() const {
  std::string keys;
  for (const Option& option : options_.all()) keys += (keys.empty() ? "" : ", ") + key_of(option);
  say("keys: " + keys);
  for (const auto& [key, value] : set_) say(key + " " + value);
}

Expected<void> ChatCommands::assign(const std::string& key, const std::string& value) {
  const Option* option = options_.find(flag_of(key));
  if (option != nullptr) return option->assign(value);
  std::vector<std::string> known;
  for (const Option& one : options_.all()) known.push_back(key_of(one));
  return unexpected(Errc::not_found,
                    "is nothing that can be set" + did_you_mean(key, known) + " /set lists them");
}

ChatCommands::Result ChatCommands::set(const std::string& argument) {
  if (argument.empty()) {
    show_settings();
    return {};
  }
  const std::size_t space = std::min(argument.find_first_of(" \t="), argument.size());
  const std::string key = argument.substr(0, space);
  const std::size_t begin = std::min(argument.find_first_not_of(" \t=", space), argument.size());
  auto changed = set_;
  if (begin == argument.size()) {
    if (options_.find(flag_of(key)) != nullptr)
      changed.erase(key);
    else
      changed[key] = "";  // unknown: assign says so
  } else {
    changed[key] = argument.substr(begin);
  }
  const SamplingOptions before = sampling_;
  sampling_ = as_started_;
  for (const auto& [name, value] : changed) {
    if (const auto assigned = assign(name, value); !assigned) {
      sampling_ = before;
      warn(name + " " + assigned.error().detail);
      return {};
    }
  }
  set_ = std::move(changed);
  return {};
}

ChatCommands::Result ChatCommands::tools(const std::string& argument) {
  if (argument == "off") {
    conversation_.forget_tools();
  } else if (!argument.empty()) {
    if (const auto loaded = conversation_.load_tools(argument); !loaded) {
      warn("no tools were taken: " + loaded.error().detail);
      return {};
    }
  }
  std::string names;
  for (const std::string& tool : conversation_.tools())
    names += (names.empty() ? "tools: " : ", ") + tool_name(tool);
  say(names.empty() ? "no tools" : names);
  return {};
}

ChatCommands::Result ChatCommands::result(const std::string& argument) {
  const std::vector<ChatToolCall> pending = conversation_.pending_calls();
  if (pending.empty()) {
    warn("no call waits for a result");
    return {};
  }
  if (argument.empty()) {
    show(pending);
    return {};
  }
  auto result = result_of(argument, pending);
  if (!result) {
    warn("no result was taken: " + result.error().detail);
    return {};
  }
  auto before = conversation_.messages();
  conversation_.add_result(result->id, std::move(result->text));
  const std::vector<ChatToolCall> left = conversation_.pending_calls();
  if (left.empty()) return {Next::answer, std::move(before)};
  show(left);
  return {};
}

ChatCommands::Result ChatCommands::retry(const std::string&) {
  auto before = conversation_.messages();
  if (!conversation_.take_answer_back()) {
    warn("there is no question yet");
    return {};
  }
  if (sampling_.seed) say("(the seed is set: without /set seed N the answer is the same)");
  return {Next::answer, std::move(before)};
}

ChatCommands::Result ChatCommands::undo(const std::string&) {
  const auto question = conversation_.undo();
  if (question)
    say("took back: " + question->substr(0, question->find('\n')));
  else
    warn("there is nothing to take back");
  return {};
}

ChatCommands::Result ChatCommands::save(const std::string& argument) {
  if (argument.empty()) {
    warn("/save needs a file's name");
  } else if (const auto saved = save_chat(argument, conversation_.messages()); !saved) {
    warn("nothing was saved: " + saved.error().detail);
  } else {
    say("saved " + counted(conversation_.messages().size(), "message") + " to " + argument);
  }
  return {};
}

ChatCommands::Result ChatCommands::load(const std::string& argument) {
  if (argument.empty()) {
    warn("/load needs a file's name");
    return {};
  }
  auto loaded = load_chat(argument);
  if (!loaded) {
    warn("nothing was loaded: " + loaded.error().detail);
    return {};
  }
  say("loaded " + counted(loaded->size(), "message") + " from " + argument);
  conversation_.replace(*std::move(loaded));
  return {};
}

ChatCommands::Result ChatCommands::stats(const std::string&) {
  const ChatTotals& totals = conversation_.totals();
  const auto number = [](std::int64_t value) { return static_cast<long long>(value); };
  std::fprintf(stderr, "%zu messages; %lld answers of %lld tokens to %lld prompt tokens\n",
               conversation_.messages().size(), number(totals.answers),
               number(totals.generated_tokens), number(totals.prompt_tokens));
  if (totals.answers == 0 || totals.generating_s <= 0) return {};
  const auto behind_first = static_cast<double>(totals.generated_tokens - totals.answers);
  std::fprintf(stderr, "%.2f s to first tokens, %.1f tok/s behind them\n", totals.prompt_s,
               std::max(behind_first, 0.0) / totals.generating_s);
  return {};
}

ChatCommands::Result ChatCommands::quit(const std::string&) { return {Next::quit}; }

}  // namespace troupe::services
