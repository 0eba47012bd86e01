// generation_config.json (specification 8.1).
#include "services/prompt/generation_defaults.hpp"

#include <algorithm>
#include <limits>
#include <random>

#include "model/checkpoint/files.hpp"
#include "model/config/json_value.hpp"

namespace troupe::services {
namespace {

using model::JsonValue;

constexpr std::uint64_t kConfigBytesMax = 1 << 20;
constexpr std::int64_t kTokensMax = std::numeric_limits<std::int32_t>::max();

Unexpected wrong_member(const char* key, const char* wanted) {
  return unexpected(Errc::malformed, std::string("\"") + key + "\" should be " + wanted);
}

Expected<void> read_number(const JsonValue& json, const char* key, float& target) {
  const JsonValue* member = json.find(key);
  if (member == nullptr || member->is_null()) return {};
  const auto value = member->number();
  if (!value) return wrong_member(key, "a number");
  target = static_cast<float>(*value);
  return {};
}

Expected<std::vector<std::int32_t>> read_ids(const JsonValue& json, const char* key) {
  std::vector<std::int32_t> ids;
  const JsonValue* member = json.find(key);
  if (member == nullptr || member->is_null()) return ids;
  const std::vector<JsonValue> single{*member};
  for (const JsonValue& item : member->array() != nullptr ? *member->array() : single) {
    const auto id = item.integer();
    if (!id || *id < 0 || *id > kTokensMax)
      return wrong_member(key, "a token id or a list of them");
    ids.push_back(static_cast<std::int32_t>(*id));
  }
  return ids;
}

Expected<GenerationDefaults> from_json(const JsonValue& json) {
  GenerationDefaults defaults;
  model::SamplingParams& sampling = defaults.sampling;
  float top_k = 0;
  const std::pair<const char*, float*> numbers[]{
      {"temperature", &sampling.temperature},
      {"top_p", &sampling.top_p},
      {"min_p", &sampling.min_p},
      {"repetition_penalty", &sampling.repetition_penalty},
      {"top_k", &top_k},
  };
  for (const auto& [key, target] : numbers) {
    if (auto read = read_number(json, key, *target); !read) return unexpected(read.error());
  }
  sampling.top_k = static_cast<std::int32_t>(std::clamp(top_k, -1.0f, 1e9f));
  const JsonValue* do_sample = json.find("do_sample");
  if (do_sample != nullptr && do_sample->boolean() == false) sampling.temperature = 0;
  auto eos = read_ids(json, "eos_token_id");
  if (!eos) return unexpected(std::move(eos).error());
  defaults.eos_token_ids = *std::move(eos);
  model::SamplingParams complete = sampling;
  complete.max_tokens = 1;
  if (auto valid = model::validate(complete); !valid) {
    return unexpected(Errc::malformed, valid.error().detail);
  }
  return defaults;
}

}  // namespace

Expected<GenerationDefaults> load_generation_defaults(const std::filesystem::path& dir) {
  const std::filesystem::path file = dir / "generation_config.json";
  const auto text = model::read_text_file(file, kConfigBytesMax);
  if (!text && text.error().code == Errc::not_found) return GenerationDefaults{};
  if (!text) return unexpected(text.error());
  const auto json = model::parse_json(*text);
  if (!json) return model::at(file, json.error());
  auto defaults = from_json(*json);
  if (!defaults) return model::at(file, defaults.error());
  return defaults;
}

std::vector<std::int32_t> stop_ids(const GenerationDefaults& defaults,
                                   const std::vector<int>& eos_token_ids) {
  std::vector<std::int32_t> ids(eos_token_ids.begin(), eos_token_ids.end());
  ids.insert(ids.end(), defaults.eos_token_ids.begin(), defaults.eos_token_ids.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::uint64_t draw_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace troupe::services
