// Chat templates joined with the tokenizer that reads their prompts.
#include "model/chat/eval_messages.hpp"

#include <memory>

namespace troupe::model {
namespace {

std::vector<std::pair<std::string, std::string>> special_tokens(const TokenizerConfig& config) {
  std::vector<std::pair<std::string, std::string>> tokens;
  if (config.bos_token) tokens.emplace_back("bos_token", *config.bos_token);
  if (config.eos_token) tokens.emplace_back("eos_token", *config.eos_token);
  return tokens;
}

}  // namespace

Expected<ChatRenderer> make_chat_renderer(const TokenizerConfig& config) {
  if (!config.chat_template) return ChatRenderer();
  auto parsed = ChatTemplate::parse(*config.chat_template);
  if (!parsed) {
    return unexpected(parsed.error().code,
                      config.chat_template_file + ": " + parsed.error().detail);
  }
  auto chat_template = std::make_shared<const ChatTemplate>(std::move(*parsed));
  return ChatRenderer([chat_template, tokens = special_tokens(config)](
                          std::string_view line) -> Expected<std::vector<RenderedSegment>> {
    ChatRequest request;
    request.variables_json = line;  // messages and add_generation_prompt among them
    request.special_tokens = tokens;
    const auto prompt = chat_template->render(request);
    if (!prompt) return unexpected(prompt.error());
    std::vector<RenderedSegment> segments;
    for (const auto& segment : prompt->segments) {
      segments.push_back({prompt->text.substr(segment.offset, segment.length), segment.trusted});
    }
    return segments;
  });
}

Expected<RenderedPrompt> render_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                     ChatRequest request) {
  if (request.special_tokens.empty()) request.special_tokens = special_tokens(tokenizer.config());
  return chat_template.render(request);
}

Expected<EncodedChat> encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                  ChatRequest request) {
  auto prompt = render_chat(chat_template, tokenizer, std::move(request));
  if (!prompt) return unexpected(prompt.error());
  std::vector<Segment> segments;
  for (const auto& segment : prompt->segments) {
    segments.push_back(
        {std::string_view(prompt->text).substr(segment.offset, segment.length), segment.trusted});
  }
  auto ids = tokenizer.encode_segments(segments);
  if (!ids) return unexpected(std::move(ids).error());
  return EncodedChat{std::move(prompt->text), *std::move(ids)};
}

}  // namespace troupe::model
