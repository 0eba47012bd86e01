// generation_config.json and the sampling flags (specification 8.1).
#include "services/cli/sampling_options.hpp"

#include <algorithm>
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

void assign(const auto& given, auto& target) {
  if (given) target = static_cast<std::remove_reference_t<decltype(target)>>(*given);
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

void SamplingOptions::declare(OptionSet& options, std::int64_t max_tokens_default) {
  options.group("Sampling (defaults come from the model's generation_config.json)");
  options.add({"--max-tokens", "N",
               "Stop after N tokens [" + std::to_string(max_tokens_default) + "]",
               integer(max_tokens, {1, kTokensMax})});
  options.add({"--temperature", "T", "0 to 2; 0 always takes the likeliest token",
               number(temperature, {0, 2})});
  options.add({"--top-p", "P", "Keep the likeliest tokens that sum to P, above 0 to 1",
               number(top_p, {0, 1, true})});
  options.add({"--seed", "S", "The same seed gives the same text [drawn and printed]",
               unsigned_integer(seed)});
  options.group("More sampling", Shown::help_all);
  options.add({"--top-k", "K", "Keep the K likeliest tokens; 0 or -1: all",
               integer(top_k, {-1, kTokensMax})});
  options.add(
      {"--min-p", "P", "Drop tokens below P times the likeliest, 0 to 1", number(min_p, {0, 1})});
  options.add({"--presence-penalty", "X", "-2 to 2, once per token already generated [0]",
               number(presence_penalty, {-2, 2})});
  options.add({"--frequency-penalty", "X", "-2 to 2, per occurrence already generated [0]",
               number(frequency_penalty, {-2, 2})});
  options.add({"--repetition-penalty", "X", "Above 0, for tokens of prompt and answer [1]",
               number(repetition_penalty, {0, 100, true})});
  options.add({"--logit-bias",
               "ID=B,...",
               "Add B (-100 to 100) to the logit of token ID",
               logit_biases(logit_bias),
               {},
               Shown::help_all,
               true});
  options.add({"--min-tokens", "N", "No end of text before N tokens [0]",
               integer(min_tokens, {0, kTokensMax})});
  options.add({"--ignore-eos", "", "Go on after the end-of-text token", yes_no(ignore_eos)});
}

model::SamplingParams SamplingOptions::merged(const GenerationDefaults& defaults,
                                              std::vector<int> eos_token_ids) const {
  model::SamplingParams params = defaults.sampling;
  assign(temperature, params.temperature);
  assign(top_p, params.top_p);
  assign(top_k, params.top_k);
  assign(min_p, params.min_p);
  assign(presence_penalty, params.presence_penalty);
  assign(frequency_penalty, params.frequency_penalty);
  assign(repetition_penalty, params.repetition_penalty);
  assign(seed, params.seed);
  assign(max_tokens, params.max_tokens);
  assign(min_tokens, params.min_tokens);
  params.logit_bias = logit_bias;
  params.ignore_eos = ignore_eos;
  if (!ignore_eos) {
    std::vector<std::int32_t>& stops = params.stop_token_ids;
    stops.assign(eos_token_ids.begin(), eos_token_ids.end());
    stops.insert(stops.end(), defaults.eos_token_ids.begin(), defaults.eos_token_ids.end());
    std::sort(stops.begin(), stops.end());
    stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
  }
  return params;
}

std::uint64_t draw_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace troupe::services
