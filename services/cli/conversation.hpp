// A chat: its messages, its slash commands, and one answer after another.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "services/cli/generation.hpp"
#include "services/prompt/chat_prompt.hpp"

namespace troupe::services {

class Conversation {
 public:
  struct Settings {
    std::string system;
    std::filesystem::path template_file;  // empty: the model's own
    std::string variables_json;           // further variables of the template; may be empty
  };
  Conversation(Generation& generation, Settings settings);

  /// Loads the template. Returns the exit code of a reported error. `generation` must be open.
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

  Generation& generation_;
  Settings settings_;
  std::optional<ChatPrompt> prompt_;
  std::vector<ChatMessage> messages_;
};

}  // namespace troupe::services
