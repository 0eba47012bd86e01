// Conversations to prompts here, or to calls.
#include "services/cli/chat_partner.hpp"

#include "services/runtime/faults.hpp"

namespace troupe::services {

std::optional<int> LocalPartner::prepare() {
  if (const auto failed = generation_.open()) return failed;
  if (const auto failed = generation_.require_tokenizer()) return failed;
  auto prompt = ChatPrompt::load(*generation_.model().tokenizer, settings_.template_file);
  if (!prompt) return report(Fault::chat_template, prompt.error().detail);
  prompt_.emplace(*std::move(prompt));
  return std::nullopt;
}

/// What it writes is not taken apart here.
std::optional<std::string> LocalPartner::refuse_tools() const {
  return "tools need a gateway, which tells calls from text: `troupe serve` starts one, --url "
         "names it";
}

Generation::Result LocalPartner::answer(const std::vector<ChatMessage>& messages,
                                        const std::vector<std::string>&) {
  const auto fits = check_text_length(generation_.model(), messages.back().content.size());
  if (!fits) return {report(Fault::prompt_too_long, fits.error().detail), Ending::failed, ""};
  auto ids = prompt_->encode(messages, settings_.variables_json);
  if (!ids) return {report(Fault::chat_template, ids.error().detail), Ending::failed, ""};
  return generation_.answer(std::move(ids->ids), false);
}

std::optional<int> RemotePartner::prepare() {
  if (settings_.template_file.empty()) return std::nullopt;
  return report(Fault::surplus_argument,
                "--chat-template has no effect with --url: the gateway's model has its own. Leave "
                "one out");
}

Generation::Result RemotePartner::answer(const std::vector<ChatMessage>& messages,
                                         const std::vector<std::string>& tools) {
  ChatCall chat{messages, settings_.variables_json, true};
  chat.tools = tools;
  GenerateCall call;
  call.input = std::move(chat);
  return generation_.answer(std::move(call), false);
}

}  // namespace troupe::services
