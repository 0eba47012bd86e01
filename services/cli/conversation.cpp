// Turns of a chat and what can be typed between them.
#include "services/cli/conversation.hpp"

#include <cstdio>

#include "services/cli/line_input.hpp"
#include "services/cli/prompt_source.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/suggest.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

constexpr const char* kHelp =
    "/system TEXT  start over with TEXT as the system message; /system alone: without one\n"
    "/reset        forget what was said\n"
    "/quit         leave (also Ctrl-D); Ctrl-C stops an answer\n";

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

Conversation::Conversation(ChatPartner& partner, std::string system)
    : partner_(partner), system_(std::move(system)) {
  reset();
}

void Conversation::reset() {
  messages_.clear();
  if (!system_.empty()) messages_.push_back({"system", system_});
}

std::optional<int> Conversation::prepare() {
  if (const auto valid = require_utf8(system_, "the system message"); !valid) {
    return report(Fault::prompt_not_utf8, valid.error().detail);
  }
  return partner_.prepare();
}

Generation::Result Conversation::ask(const std::string& question) {
  if (const auto valid = require_utf8(question, "the question"); !valid) {
    return {report(Fault::prompt_not_utf8, valid.error().detail), Ending::failed, ""};
  }
  messages_.push_back({"user", question});
  Generation::Result result = partner_.answer(messages_);
  if (result.ending == Ending::failed) {
    messages_.pop_back();
  } else {
    messages_.push_back({"assistant", result.text});
  }
  return result;
}

Conversation::Next Conversation::command(const std::string& line) {
  const std::size_t space = std::min(line.find(' '), line.size());
  const std::string word = line.substr(0, space);
  if (word == "/quit" || word == "/exit") return Next::quit;
  if (word == "/help") {
    std::fputs(kHelp, stderr);
  } else if (word == "/reset") {
    reset();
  } else if (word == "/system") {
    system_ = trimmed(line.substr(space));
    reset();
  } else {
    const std::vector<std::string> known{"/help", "/quit", "/reset", "/system"};
    warn("there is no " + word + did_you_mean(word, known) + " /help lists them");
  }
  return Next::go_on;
}

int Conversation::talk() {
  const bool terminal = stdin_is_terminal();
  if (terminal) std::fputs("Ask away; /help shows what else can be typed.\n", stderr);
  LineInput input;
  std::string line;
  while (true) {
    const LineEnd end = input.next("> ", line);
    if (end == LineEnd::interrupted && !terminal) return static_cast<int>(ExitCode::interrupt);
    if (end == LineEnd::interrupted) {
      clear_interrupt();
      std::fputs("\n(Ctrl-D or /quit leaves)\n", stderr);
      continue;
    }
    if (end == LineEnd::end_of_input) break;
    line = trimmed(line);
    if (line.empty()) continue;
    if (line.front() == '/') {
      if (command(line) == Next::quit) return 0;
      continue;
    }
    const Generation::Result result = ask(line);
    if (result.ending == Ending::reader_gone) return 0;
    if (!terminal && result.exit_code != 0) return result.exit_code;
    clear_interrupt();
  }
  if (terminal) std::fputs("\n", stderr);
  return 0;
}

}  // namespace troupe::services
