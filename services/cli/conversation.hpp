// A chat: its messages, its slash commands, and one answer after another.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "services/cli/chat_partner.hpp"

namespace troupe::services {

class Conversation {
 public:
  /// `system`: the system message; empty: none.
  Conversation(ChatPartner& partner, std::string system);

  /// Before the first question. Returns the exit code of a reported error.
  std::optional<int> prepare();
  /// Answers `question` on stdout. A question that failed is forgotten; an answer that was
  /// interrupted is kept as far as it went.
  Generation::Result ask(const std::string& question);
  /// Reads questions and slash commands until the end of input. Returns the exit code.
  int talk();

 private:
  enum class Next { go_on, quit };
  Next command(const std::string& line);
  void reset();

  ChatPartner& partner_;
  std::string system_;
  std::vector<ChatMessage> messages_;
};

}  // namespace troupe::services
