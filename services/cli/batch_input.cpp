// One line of JSON after another.
#include "services/cli/batch_input.hpp"

#include <algorithm>
#include <cstring>

#include "core/sha256.hpp"
#include "model/config/json_value.hpp"

namespace troupe::services {
namespace {

std::string text_of(const model::JsonValue& json, const char* key) {
  const model::JsonValue* value = json.find(key);
  const std::string* text = value == nullptr ? nullptr : value->string();
  return text == nullptr ? "" : *text;
}

/// Fills `line` from its text. Returns what is wrong with it.
std::string read_fields(const std::string& text, BatchLine& line) {
  const auto json = model::parse_json(text);
  if (!json) return json.error().detail;
  if (json->object() == nullptr) return "it is no object, {...}";
  line.custom_id = text_of(*json, "custom_id");
  if (line.custom_id.empty()) return "\"custom_id\" must be a text that is not empty";
  if (text_of(*json, "method") != "POST") return "\"method\" must be \"POST\"";
  line.url = text_of(*json, "url");
  if (line.url != "/v1/chat/completions" && line.url != "/v1/completions") {
    return "\"url\" must be \"/v1/chat/completions\" or \"/v1/completions\"";
  }
  const model::JsonValue* body = json->find("body");
  if (body == nullptr || body->object() == nullptr) return "\"body\" must be an object";
  const model::JsonValue* stream = body->find("stream");
  if (stream != nullptr && stream->boolean().value_or(false)) {
    return "\"body.stream\" has no place in a batch. Leave it out";
  }
  line.body = model::to_json(*body);
  return "";
}

}  // namespace

Expected<BatchReader> BatchReader::open(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::error_code error;
  if (!stream || std::filesystem::is_directory(file, error)) {
    const bool there = std::filesystem::exists(file, error);
    return unexpected(there ? Errc::io : Errc::not_found,
                      file.string() + (there ? " cannot be read" : " is not there"));
  }
  return BatchReader(std::move(stream));
}

bool BatchReader::read_line(std::string& text, std::string& problem) {
  text.clear();
  problem.clear();
  int byte = file_.get();
  if (byte == std::ifstream::traits_type::eof()) return false;
  for (; byte != std::ifstream::traits_type::eof() && byte != '\n'; byte = file_.get()) {
    if (text.size() < kBatchLineBytesMax) {
      text += static_cast<char>(byte);
    } else {
      problem = "it has more than " + std::to_string(kBatchLineBytesMax) + " bytes";
    }
  }
  ++number_;
  return true;
}

std::optional<BatchLine> BatchReader::next() {
  std::string text;
  BatchLine line;
  while (read_line(text, line.problem)) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    line.number = number_;
    if (line.problem.empty()) line.problem = read_fields(text, line);
    return line;
  }
  return std::nullopt;
}

std::array<std::uint64_t, 2> custom_id_digest(const std::string& custom_id) {
  std::array<std::uint64_t, 2> digest{};
  if (custom_id.empty()) return digest;
  const auto whole = Sha256().add(custom_id).digest();
  std::memcpy(digest.data(), whole.data(), sizeof(digest));
  return digest;
}

Expected<std::vector<BatchLineId>> index_batch(const std::filesystem::path& file) {
  auto reader = BatchReader::open(file);
  if (!reader) return unexpected(reader.error());
  std::vector<BatchLineId> ids;
  while (const auto line = reader->next()) {
    ids.push_back({line->number, custom_id_digest(line->custom_id)});
  }
  std::vector<BatchLineId> sorted = ids;
  std::sort(sorted.begin(), sorted.end(), [](const BatchLineId& a, const BatchLineId& b) {
    return a.custom_id != b.custom_id ? a.custom_id < b.custom_id : a.number < b.number;
  });
  const std::array<std::uint64_t, 2> none{};
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].custom_id != sorted[i - 1].custom_id || sorted[i].custom_id == none) continue;
    return unexpected(Errc::invalid_argument,
                      file.string() + " line " + std::to_string(sorted[i].number) +
                          ": its custom_id is that of line " +
                          std::to_string(sorted[i - 1].number) + ". Give each line its own");
  }
  return ids;
}

}  // namespace troupe::services
