// The chat side of `troupe eval tokenizer`, and the renderer that the APIs share with it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/expected.hpp"
#include "model/chat/chat_template.hpp"
#include "model/tokenizer/eval_lines.hpp"
#include "model/tokenizer/tokenizer.hpp"

namespace troupe::model {

/// Parses the template of a checkpoint. The renderer takes a line {"messages"[,
/// "add_generation_prompt", any further template variable]} and may be called from any thread.
/// An empty renderer when the checkpoint has no template.
/// *Errors*: as ChatTemplate::parse, with the file in front.
Expected<ChatRenderer> make_chat_renderer(const TokenizerConfig& config);

/// A rendered conversation. Encoding `text` does not give `ids` back: text from messages never
/// became an added token in them.
struct EncodedChat {
  std::string text;
  std::vector<std::int32_t> ids;
};

/// The text of a conversation, with the special tokens of the tokenizer where `request` has none.
/// *Errors*: as ChatTemplate::render.
Expected<RenderedPrompt> render_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                     ChatRequest request);

/// Renders and encodes what the APIs serve: text from messages never becomes an added token.
/// *Errors*: as ChatTemplate::render and Tokenizer::encode_segments.
Expected<EncodedChat> encode_chat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                  ChatRequest request);

}  // namespace troupe::model
