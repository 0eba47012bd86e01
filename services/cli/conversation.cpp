// Turns of a chat, and the loop that reads them.
#include "services/cli/conversation.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "services/cli/chat_commands.hpp"
#include "services/cli/line_input.hpp"
#include "services/cli/prompt_source.hpp"
#include "services/cli/tools_file.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

double seconds(actors::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Conversation::Conversation(ChatPartner& partner, std::string system) : partner_(partner) {
  start_over(std::move(system));
}

void Conversation::start_over(std::string system) {
  system_ = std::move(system);
  messages_.clear();
  if (!system_.empty()) messages_.push_back({"system", system_});
}

std::optional<std::string> Conversation::undo() {
  for (std::size_t i = messages_.size(); i-- > 0;) {
    if (messages_[i].role != "user") continue;
    std::string question = std::move(messages_[i].content);
    messages_.resize(i);
    return question;
  }
  return std::nullopt;
}

bool Conversation::take_answer_back() {
  for (std::size_t i = messages_.size(); i-- > 0;) {
    if (messages_[i].role == "user") return true;
    if (messages_[i].role != "assistant") continue;
    messages_.resize(i);
    break;
  }
  return std::any_of(messages_.begin(), messages_.end(),
                     [](const ChatMessage& message) { return message.role == "user"; });
}

std::vector<ChatToolCall> Conversation::pending_calls() const {
  std::size_t behind = messages_.size();
  while (behind > 0 && messages_[behind - 1].role == "tool") --behind;
  if (behind == 0) return {};
  std::vector<ChatToolCall> calls = messages_[behind - 1].tool_calls;
  for (std::size_t i = behind; i < messages_.size(); ++i) {
    const auto answered = std::find_if(calls.begin(), calls.end(), [&](const ChatToolCall& call) {
      return call.id == messages_[i].tool_call_id;
    });
    if (answered != calls.end()) calls.erase(answered);
  }
  return calls;
}

void Conversation::add_result(const std::string& id, std::string result) {
  messages_.push_back({"tool", std::move(result), "", {}, id});
}

void Conversation::replace(std::vector<ChatMessage> messages) {
  messages_ = std::move(messages);
  const bool has_system = !messages_.empty() && messages_.front().role == "system";
  system_ = has_system ? messages_.front().content : "";
}

Expected<void> Conversation::load_tools(const std::string& file) {
  if (auto refused = partner_.refuse_tools())
    return unexpected(Errc::unsupported, *std::move(refused));
  auto tools = services::load_tools(file);
  if (!tools) return unexpected(std::move(tools).error());
  tools_ = *std::move(tools);
  return {};
}

std::optional<int> Conversation::prepare() {
  if (const auto valid = require_utf8(system_, "the system message"); !valid) {
    return report(Fault::prompt_not_utf8, valid.error().detail);
  }
  return partner_.prepare();
}

void Conversation::count(const actors::Usage& usage) {
  if (usage.generated_tokens == 0) return;
  ++totals_.answers;
  totals_.prompt_tokens += usage.prompt_tokens;
  totals_.generated_tokens += usage.generated_tokens;
  totals_.prompt_s += seconds(usage.time_to_first_token);
  totals_.generating_s += seconds(usage.duration - usage.time_to_first_token);
}

Generation::Result Conversation::ask(const std::string& question) {
  if (const auto valid = require_utf8(question, "the question"); !valid) {
    return {report(Fault::prompt_not_utf8, valid.error().detail), Ending::failed, ""};
  }
  messages_.push_back({"user", question});
  Generation::Result result = answer();
  if (result.ending == Ending::failed) messages_.pop_back();
  return result;
}

Generation::Result Conversation::answer() {
  Generation::Result result = partner_.answer(messages_, tools_);
  if (result.ending == Ending::failed) return result;
  messages_.push_back({"assistant", result.text, "", result.calls});
  count(result.usage);
  return result;
}

int Conversation::talk(SamplingOptions& sampling) {
  const bool terminal = stdin_is_terminal();
  if (terminal) std::fputs("Ask away; /help shows what else can be typed.\n", stderr);
  ChatCommands commands(*this, sampling);
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
    const bool typed_command = line.front() == '/';
    ChatCommands::Result command;
    if (typed_command) command = commands.run(line);
    if (command.next == ChatCommands::Next::quit) return 0;
    if (typed_command && command.next == ChatCommands::Next::go_on) continue;
    const Generation::Result result = typed_command ? answer() : ask(line);
    if (typed_command && result.ending == Ending::failed) replace(std::move(command.restored));
    if (terminal && !pending_calls().empty())
      std::fputs("(/result TEXT says what a call has come to; /result shows them)\n", stderr);
    if (result.ending == Ending::reader_gone) return 0;
    if (!terminal && result.exit_code != 0) return result.exit_code;
    clear_interrupt();
  }
  if (terminal) std::fputs("\n", stderr);
  return 0;
}

}  // namespace troupe::services
