// TokenizerConfig: a handful of keys; everything else in the file is for other programs.
#include "model/tokenizer/tokenizer_config.hpp"

#include <utility>

#include "model/checkpoint/files.hpp"
#include "model/config/json_value.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::model {
namespace {

constexpr std::size_t kConfigBytesMax = 64 << 20;

/// A token as a string or as {"content": string}; null and missing mean none.
Expected<std::optional<std::string>> read_token(const JsonValue& root, const char* key) {
  const JsonValue* found = root.find(key);
  if (found == nullptr || found->is_null()) return std::optional<std::string>();
  if (found->object() != nullptr) found = found->find("content");
  if (found == nullptr || found->string() == nullptr) {
    return unexpected(Errc::malformed,
                      std::string(key) + " is neither a string nor an object with content");
  }
  return std::optional(*found->string());
}

/// The member `key` of `entry` if it is a string, else null.
const std::string* text_of(const JsonValue& entry, std::string_view key) {
  const JsonValue* member = entry.find(key);
  return member == nullptr ? nullptr : member->string();
}

Expected<std::optional<std::string>> read_template(const JsonValue& root) {
  const JsonValue* found = root.find("chat_template");
  if (found == nullptr || found->is_null()) return std::optional<std::string>();
  if (found->string() != nullptr) return std::optional(*found->string());
  if (found->array() == nullptr) {
    return unexpected(Errc::malformed, "chat_template is neither a string nor a list");
  }
  std::size_t index = 0;
  for (const JsonValue& entry : *found->array()) {
    const std::string* name = text_of(entry, "name");
    const std::string* text = text_of(entry, "template");
    if (name == nullptr || text == nullptr) {
      return unexpected(Errc::malformed, "chat_template[" + std::to_string(index) +
                                             "] is no {\"name\": text, \"template\": text}");
    }
    if (*name == "default") return std::optional(*text);
    ++index;
  }
  return std::optional<std::string>();
}

Expected<void> use_template_file(const std::filesystem::path& path, TokenizerConfig& config) {
  auto text = read_text_file(path, kConfigBytesMax);
  if (!text) {
    if (text.error().code == Errc::not_found) return {};
    return unexpected(text.error());
  }
  if (const auto bad = first_invalid_utf8(*text)) {
    return unexpected(Errc::malformed,
                      path.string() + ": not UTF-8 at byte " + std::to_string(*bad));
  }
  config.chat_template = *std::move(text);
  config.chat_template_file = path.filename().string();
  return {};
}

}  // namespace

Expected<TokenizerConfig> TokenizerConfig::parse(std::string_view json) {
  const auto root = parse_json(json);
  if (!root) return unexpected(root.error());
  if (root->object() == nullptr) return unexpected(Errc::malformed, "not a JSON object");
  TokenizerConfig config;
  if (const JsonValue* found = root->find("add_bos_token"); found != nullptr && !found->is_null()) {
    if (!found->boolean()) return unexpected(Errc::malformed, "add_bos_token is not true or false");
    config.add_bos_token = *found->boolean();
  }
  auto bos = read_token(*root, "bos_token");
  if (!bos) return unexpected(bos.error());
  auto eos = read_token(*root, "eos_token");
  if (!eos) return unexpected(eos.error());
  auto chat_template = read_template(*root);
  if (!chat_template) return unexpected(chat_template.error());
  config.bos_token = *std::move(bos);
  config.eos_token = *std::move(eos);
  config.chat_template = *std::move(chat_template);
  if (config.chat_template) config.chat_template_file = "tokenizer_config.json";
  return config;
}

Expected<TokenizerConfig> TokenizerConfig::load(const std::filesystem::path& dir) {
  TokenizerConfig config;
  const auto path = dir / "tokenizer_config.json";
  const auto json = read_text_file(path, kConfigBytesMax);
  if (json) {
    auto parsed = parse(*json);
    if (!parsed) {
      return unexpected(parsed.error().code, path.string() + ": " + parsed.error().detail);
    }
    config = *std::move(parsed);
  } else if (json.error().code != Errc::not_found) {
    return unexpected(json.error());
  }
  if (auto used = use_template_file(dir / "chat_template.jinja", config); !used) {
    return unexpected(used.error());
  }
  return config;
}

}  // namespace troupe::model
