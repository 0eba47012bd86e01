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
  /// Why it takes no tools; nothing: it does.
  virtual std::optional<std::string> refuse_tools() const { return std::nullopt; }
  /// Answers the last of `messages` on stdout. `tools`: JSON texts, as ChatCall has them.
  virtual Generation::Result answer(const std::vector<ChatMessage>& messages,
                                    const std::vector<std::string>& tools) = 0;
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
  std::optional<std::string> refuse_tools() const override;
  Generation::Result answer(const std::vector<ChatMessage>& messages,
                            const std::vector<std::string>& tools) override;

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
  Generation::Result answer(const std::vector<ChatMessage>& messages,
                            const std::vector<std::string>& tools) override;

 private:
  RemoteGeneration& generation_;
  ChatSettings settings_;
};

}  // namespace troupe::services
