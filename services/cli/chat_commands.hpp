// What can be typed between the questions of a chat: /help, /set and the like.
#pragma once
#include <map>
#include <string>

#include "services/cli/conversation.hpp"
#include "services/runtime/option_set.hpp"

namespace troupe::services {

class ChatCommands {
 public:
  /// Both must outlive it. `/set` changes `sampling`.
  ChatCommands(Conversation& conversation, SamplingOptions& sampling);

  enum class Next { go_on, quit, answer };
  struct Result {
    Next next = Next::go_on;
    std::vector<ChatMessage> restored = {};  // what was said, should the answer fail
  };
  /// Carries out `line`, which begins with a slash. What it says goes to stderr.
  Result run(const std::string& line);

 private:
  struct Entry;
  static const std::vector<Entry>& entries();

  Result help(const std::string& argument);
  Result reset(const std::string& argument);
  Result system(const std::string& argument);
  Result set(const std::string& argument);
  Result tools(const std::string& argument);
  Result result(const std::string& argument);
  Result retry(const std::string& argument);
  Result undo(const std::string& argument);
  Result save(const std::string& argument);
  Result load(const std::string& argument);
  Result stats(const std::string& argument);
  Result quit(const std::string& argument);
  void show_settings() const;
  Expected<void> assign(const std::string& key, const std::string& value);

  Conversation& conversation_;
  SamplingOptions& sampling_;
  const SamplingOptions as_started_;
  OptionSet options_;
  std::map<std::string, std::string> set_;  // by key, what /set has changed
};

}  // namespace troupe::services
