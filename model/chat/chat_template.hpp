// Chat messages to a prompt, by the checkpoint's own chat template.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/expected.hpp"

namespace troupe::model {

/// What a prompt is made from. JSON texts stay the caller's; an empty one means "none".
struct ChatRequest {
  std::string_view messages_json;   // array of objects with role, content, tool_calls, ...
  std::string_view tools_json;      // array of tool schemas
  std::string_view documents_json;  // array
  std::string_view variables_json;  // object: further variables, e.g. {"thinking": true}
  bool add_generation_prompt = false;
  /// bos_token, eos_token, pad_token, ... as transformers passes them; trusted.
  std::vector<std::pair<std::string, std::string>> special_tokens;
  /// What strftime_now formats: seconds since 1970, shifted to the zone that is wanted.
  std::optional<std::int64_t> local_time;
};

struct RenderedPrompt {
  struct Segment {
    std::size_t offset = 0, length = 0;  // bytes of `text`
    bool trusted = false;                // may be read as added tokens
    friend bool operator==(const Segment&, const Segment&) = default;
  };
  std::string text;
  std::vector<Segment> segments;  // in order, cover `text`, neighbours differ in `trusted`
};

/// A parsed chat template: Jinja as transformers runs it (sandboxed, trim_blocks, lstrip_blocks,
/// loop controls, its tojson, raise_exception, strftime_now). Text of the template and of special
/// tokens is trusted; whatever comes from messages, tools, documents and variables is not, through
/// every operation of the template.
/// *Threading*: immutable; any number of renderings at once.
class ChatTemplate {
 public:
  /// *Errors*: malformed (syntax), unsupported (a construct Troupe does not run),
  /// resource_exhausted (nested too deep); the text names construct and line.
  static Expected<ChatTemplate> parse(std::string_view source);

  /// *Errors*: invalid_argument (the template refuses the messages, or they lack what it needs),
  /// malformed (JSON), unsupported, resource_exhausted (steps, bytes, depth), out_of_range.
  Expected<RenderedPrompt> render(const ChatRequest& request) const;

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

 private:
  struct Tree;
  explicit ChatTemplate(std::unique_ptr<const Tree> tree);
  std::unique_ptr<const Tree> tree_;
};

}  // namespace troupe::model
