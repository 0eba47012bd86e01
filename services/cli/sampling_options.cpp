// The sampling flags (specification 8.1).
#include "services/cli/sampling_options.hpp"

#include <limits>

namespace troupe::services {
namespace {

constexpr std::int64_t kTokensMax = std::numeric_limits<std::int32_t>::max();

void assign(const auto& given, auto& target) {
  if (given) target = static_cast<std::remove_reference_t<decltype(target)>>(*given);
}

}  // namespace

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
                                              const std::vector<int>& eos_token_ids) const {
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
  if (!ignore_eos) params.stop_token_ids = stop_ids(defaults, eos_token_ids);
  return params;
}

}  // namespace troupe::services
