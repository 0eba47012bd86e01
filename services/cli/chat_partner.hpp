// Who answers a conversation: a model opened here, or a gateway.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "services/cli/generation.hpp"
#include "services/cli/remote_generation.hpp"
#include "services/prompt/chat_prompt.hpp"

namespace troupe::services {

class ChatPartner {
 public:
  virtual ~ChatPartner() = default;
  /// Before anything is asked. Returns the exit code of a reported error.
  virtual std::optional<int> prepare() = 0;
  /// Answers the last of `messages` on stdout.
  virtual Generation::Result answer(const std::vector<ChatMessage>& messages) = 0;
};

struct ChatSettings {
  std::string template_file;   // empty: the model's own
  std::string variables_json;  // further variables of the template; may be empty
};

class LocalPartner final : public ChatPartner {
 public:
  LocalPartner(Generation& generation, ChatSettings settings)
      : generation_(generation), settings_(std::move(settings)) {}
  std::optional<int> prepare() override;
  Generation::Result answer(const std::vector<ChatMessage>& messages) override;

 private:
  Generation& generation_;
  ChatSettings settings_;
  std::optional<ChatPrompt> prompt_;
};

class RemotePartner final : public ChatPartner {
 public:
  RemotePartner(RemoteGeneration& generation, ChatSettings settings)
      : generation_(generation), settings_(std::move(settings)) {}
  std::optional<int> prepare() override;
  Generation::Result answer(const std::vector<ChatMessage>& messages) override;

 private:
  RemoteGeneration& generation_;
  ChatSettings settings_;
};

}  // namespace troupe::services
