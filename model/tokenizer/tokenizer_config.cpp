// TokenizerConfig: a handful of keys; everything else in the file is for other programs.
#include "model/tokenizer/tokenizer_config.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "model/checkpoint/files.hpp"
#include "model/tokenizer/utf8.hpp"

namespace troupe::model {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kConfigBytesMax = 64 << 20;

/// A token as a string or as {"content": string}; null and missing mean none.
Expected<std::optional<std::string>> read_token(const Json& root, const char* key) {
  const auto found = root.find(key);
  if (found == root.end() || found->is_null()) return std::optional<std::string>();
  const Json* text = &*found;
  if (found->is_object()) {
    const auto content = found->find("content");
    text = content == found->end() ? nullptr : &*content;
  }
  if (text == nullptr || !text->is_string()) {
    return unexpected(Errc::malformed,
                      std::string(key) + " is neither a string nor an object with content");
  }
  return std::optional(text->get<std::string>());
}

Expected<std::optional<std::string>> read_template(const Json& root) {
  const auto found = root.find("chat_template");
  if (found == root.end() || found->is_null()) return std::optional<std::string>();
  if (found->is_string()) return std::optional(found->get<std::string>());
  if (!found->is_array()) {
    return unexpected(Errc::malformed, "chat_template is neither a string nor a list");
  }
  for (std::size_t i = 0; i < found->size(); ++i) {
    const Json& entry = (*found)[i];
    const bool named = entry.is_object() && entry.contains("name") && entry.contains("template");
    if (!named || !entry["name"].is_string() || !entry["template"].is_string()) {
      return unexpected(Errc::malformed, "chat_template[" + std::to_string(i) +
                                             "] is no {\"name\": text, \"template\": text}");
    }
    if (entry["name"] == "default") return std::optional(entry["template"].get<std::string>());
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
  const Json root = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return unexpected(Errc::malformed, "not a JSON object");
  TokenizerConfig config;
  if (const auto found = root.find("add_bos_token"); found != root.end() && !found->is_null()) {
    if (!found->is_boolean()) {
      return unexpected(Errc::malformed, "add_bos_token is not true or false");
    }
    config.add_bos_token = found->get<bool>();
  }
  auto bos = read_token(root, "bos_token");
  if (!bos) return unexpected(bos.error());
  auto eos = read_token(root, "eos_token");
  if (!eos) return unexpected(eos.error());
  auto chat_template = read_template(root);
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
