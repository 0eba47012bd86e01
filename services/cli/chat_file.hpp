// A conversation as a file: {"messages": [{"role", "content", ...}]}, as chat APIs have it.
#pragma once
#include <filesystem>
#include <vector>

#include "core/expected.hpp"
#include "services/prompt/chat_prompt.hpp"

namespace troupe::services {

/// Replaces `file`, which is whole at any time. *Errors*: as `model::os_error`.
Expected<void> save_chat(const std::filesystem::path& file,
                         const std::vector<ChatMessage>& messages);

/// *Errors*: those of reading; `malformed` that names the file and what is wrong with which
/// message.
Expected<std::vector<ChatMessage>> load_chat(const std::filesystem::path& file);

}  // namespace troupe::services
