// Reads and checks as a gateway would.
#include "services/cli/tools_file.hpp"

#include <cstdint>

#include "model/config/json_value.hpp"
#include "services/cli/input_file.hpp"
#include "services/gateway/tool_calls.hpp"

namespace troupe::services {
namespace {

constexpr std::uint64_t kBytesMax = std::uint64_t{16} << 20;

}  // namespace

Expected<std::vector<std::string>> load_tools(const std::filesystem::path& file) {
  const auto wrong = [&file](const std::string& what) {
    return unexpected(Errc::malformed, file.string() + ": " + what);
  };
  const auto text = read_input(file, kBytesMax);
  if (!text) return unexpected(text.error());
  const auto json = model::parse_json(*text);
  if (!json) return wrong(json.error().detail);
  if (json->array() == nullptr || json->array()->empty()) {
    return wrong(
        "it holds no tools: [{\"type\": \"function\", \"function\": {\"name\": ...}}, ...]");
  }
  ChatCall chat;
  chat.names.tools = "tools";
  for (const model::JsonValue& tool : *json->array()) chat.tools.push_back(model::to_json(tool));
  const auto found = check_tools(chat);
  if (!found.empty()) return wrong(found.front().field + " " + found.front().description);
  return std::move(chat.tools);
}

}  // namespace troupe::services
