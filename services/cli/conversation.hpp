// A chat: its messages, and one answer after another.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "services/cli/chat_partner.hpp"

namespace troupe::services {

/// What a conversation has cost so far, answers that were taken back included.
struct ChatTotals {
  std::int64_t answers = 0;
  std::int64_t prompt_tokens = 0, generated_tokens = 0;
  double prompt_s = 0, generating_s = 0;  // to the first token, and from it on
};

class Conversation {
 public:
  /// `system`: the system message; empty: none.
  Conversation(ChatPartner& partner, std::string system);

  /// Before the first question. Returns the exit code of a reported error.
  std::optional<int> prepare();
  /// Answers `question` on stdout. A question that failed is forgotten; an answer that was
  /// interrupted is kept as far as it went.
  Generation::Result ask(const std::string& question);
  /// Answers what was said so far on stdout. Nothing has changed if that fails.
  Generation::Result answer();
  /// Reads questions and slash commands until the end of input. Returns the exit code.
  int talk(SamplingOptions& sampling);

  /// Forgets everything; from now on with `system` as the system message.
  void start_over(std::string system);
  const std::string& system() const { return system_; }
  /// Takes the last question and its answer back and returns the question; nothing without one.
  std::optional<std::string> undo();
  /// Takes the last answer to the last question back, its results with it; false without a
  /// question.
  bool take_answer_back();
  /// Calls of the last answer that have no result yet, in their order.
  std::vector<ChatToolCall> pending_calls() const;
  /// Says what the pending call `id` has come to.
  void add_result(const std::string& id, std::string result);
  const std::vector<ChatMessage>& messages() const { return messages_; }
  /// Goes on after `messages`; a system message in front is the conversation's.
  void replace(std::vector<ChatMessage> messages);
  const ChatTotals& totals() const { return totals_; }
  /// What answers may call from now on: those of `file`. *Errors*: those of load_tools();
  /// `unsupported` where the partner takes none. Nothing has changed then.
  Expected<void> load_tools(const std::string& file);
  void forget_tools() { tools_.clear(); }
  const std::vector<std::string>& tools() const { return tools_; }

 private:
  void count(const actors::Usage& usage);

  ChatPartner& partner_;
  std::string system_;
  std::vector<ChatMessage> messages_;
  std::vector<std::string> tools_;  // JSON texts
  ChatTotals totals_;
};

}  // namespace troupe::services
