// `troupe bench serve`: how a running gateway does under load.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <utility>

#include "model/config/json_value.hpp"
#include "services/cli/access_options.hpp"
#include "services/load/bench_load.hpp"
#include "services/load/bench_report.hpp"
#include "services/cli/command.hpp"
#include "services/cli/remote_generation.hpp"
#include "services/client/openai_client.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kTokensMax = std::int64_t{1} << 20;
constexpr std::int64_t kRequestsMax = std::int64_t{1} << 20;
constexpr std::int64_t kThreadsMax = 4096;

struct Flags {
  ServerAccess server;
  std::string model;
  std::string api = "grpc";
  std::optional<std::int64_t> clients, requests, warmup, max_tokens, shared_prefix, in_flight_max;
  std::optional<float> rate;
  std::pair<std::int64_t, std::int64_t> prompt_tokens{128, 128};
  std::optional<std::uint64_t> seed;
  std::string output = "table";
  bool no_progress = false;

  std::int64_t answer_tokens() const { return max_tokens.value_or(64); }
};

/// "N" or "MIN:MAX".
Assign token_range(std::pair<std::int64_t, std::int64_t>& target) {
  return [&target](std::string_view value) -> Expected<void> {
    const std::size_t colon = value.find(':');
    const auto min = parse_integer(value.substr(0, colon));
    const auto max = colon == std::string_view::npos ? min : parse_integer(value.substr(colon + 1));
    if (!min || !max || *min < 1 || *max < *min || *max > kTokensMax) {
      return unexpected(Errc::invalid_argument,
                        "takes tokens as N or MIN:MAX, 1 to " + std::to_string(kTokensMax));
    }
    target = {*min, *max};
    return {};
  };
}

void declare_load(OptionSet& options, Flags& flags) {
  options.group("Load");
  options.add({"--clients", "N", "Closed loop: N clients, each asks again when it is answered [1]",
               integer(flags.clients, {1, kThreadsMax})});
  options.add({"--rate", "R", "Open loop instead: R requests per second, Poisson arrivals",
               number(flags.rate, {0, 100000, true})});
  options.add(
      {"--requests", "N", "Measured requests [50]", integer(flags.requests, {1, kRequestsMax})});
  options.add({"--warmup", "N", "Requests before them that are not measured [2]",
               integer(flags.warmup, {0, kRequestsMax})});
  options.add({"--in-flight-max",
               "N",
               "Open loop: what arrives while N requests are open is not sent [1024]",
               integer(flags.in_flight_max, {1, kThreadsMax}),
               {},
               Shown::help_all});
  options.group("Requests");
  options.add({"--prompt-tokens", "N|MIN:MAX", "Random ids per prompt [128]",
               token_range(flags.prompt_tokens)});
  options.add({"--max-tokens", "N", "Tokens per answer; end of text is ignored [64]",
               integer(flags.max_tokens, {1, kTokensMax})});
  options.add({"--shared-prefix-tokens",
               "N",
               "So many first ids are the same in all prompts [0]",
               integer(flags.shared_prefix, {0, kTokensMax}),
               {},
               Shown::help_all});
  options.add({"--seed", "S", "The same seed gives the same prompts and arrivals [0]",
               unsigned_integer(flags.seed)});
}

void declare(OptionSet& options, Flags& flags) {
  options.group("Server");
  options.add({"--url", "HOST:PORT", "A running gateway", text(flags.server.url)});
  options.add({"--api", "API", "grpc, or openai: HTTP, as other servers have it, too [grpc]",
               choice(flags.api, {"grpc", "openai"})});
  options.add({"--model", "NAME", "A served name [the only one]", text(flags.model)});
  declare_access(options, flags.server);
  declare_load(options, flags);
  options.group("Output");
  Option output{"--output", "FORM", "table or json [table]",
                choice(flags.output, {"table", "json"})};
  output.letter = "-o";
  options.add(std::move(output));
  options.add({"--no-progress", "", "Show no progress", yes_no(flags.no_progress)});
}

LoadPlan plan_of(const Flags& flags, const ClientModel& model) {
  LoadPlan plan;
  plan.clients = flags.clients.value_or(1);
  plan.rate = flags.rate.value_or(0);
  plan.requests = flags.requests.value_or(50);
  plan.warmup = flags.warmup.value_or(2);
  plan.prompt_tokens_min = flags.prompt_tokens.first;
  plan.prompt_tokens_max = flags.prompt_tokens.second;
  plan.shared_prefix_tokens = flags.shared_prefix.value_or(0);
  plan.in_flight_max = flags.in_flight_max.value_or(plan.in_flight_max);
  plan.vocabulary = model.vocabulary;
  plan.seed = flags.seed.value_or(0);
  return plan;
}

/// Whether prompts and answers fit, or the exit code of the reported error.
std::optional<int> check(const Flags& flags, const ClientModel& model) {
  if (flags.rate && flags.clients) {
    return report(Fault::surplus_argument,
                  "--clients is a closed loop and --rate an open one. Leave one out");
  }
  if (model.vocabulary < 1) {
    return report(Fault::bad_value, "--url: " + model.id + " does not tell its vocabulary_size, " +
                                        "which prompts of random ids need. Ask a Troupe gateway");
  }
  const std::int64_t tokens = flags.prompt_tokens.second + flags.answer_tokens();
  if (model.context > 0 && tokens > model.context) {
    return report(Fault::prompt_too_long,
                  "--prompt-tokens and --max-tokens are " + std::to_string(tokens) + " and " +
                      model.id + " has room for " + std::to_string(model.context) + ". Lower one");
  }
  return std::nullopt;
}

std::vector<LoadSetting> settings_of(const Flags& flags, const LoadPlan& plan,
                                     const std::string& model) {
  const auto number = [](auto value) { return std::to_string(value); };
  std::string prompt = number(plan.prompt_tokens_min);
  if (plan.prompt_tokens_max != plan.prompt_tokens_min) {
    prompt += ":" + number(plan.prompt_tokens_max);
  }
  std::vector<LoadSetting> settings{
      {"url", flags.server.url}, {"api", flags.api}, {"model", model}};
  if (plan.rate > 0) {
    std::array<char, 32> rate{};
    std::snprintf(rate.data(), rate.size(), "%g", plan.rate);
    settings.emplace_back("open loop, requests/s", rate.data());
  } else {
    settings.emplace_back("closed loop, clients", number(plan.clients));
  }
  settings.emplace_back("prompt tokens", prompt);
  if (plan.shared_prefix_tokens > 0) {
    settings.emplace_back("shared prefix tokens", number(plan.shared_prefix_tokens));
  }
  settings.emplace_back("answer tokens", number(flags.answer_tokens()));
  settings.emplace_back("seed", number(plan.seed));
  return settings;
}

int measure(const Flags& flags, const ClientModel& model, const SendPrompt& send) {
  if (const auto failed = check(flags, model)) return *failed;
  const LoadPlan plan = plan_of(flags, model);
  const auto all = static_cast<std::uint64_t>(plan.requests);
  LoadResult result;
  {
    Progress bar({"load", progress_style(flags.no_progress), std::chrono::seconds(1),
                  ProgressUnit::requests});
    result = run_load(plan, send, [&](std::int64_t ended, std::int64_t) {
      bar.update(std::min(static_cast<std::uint64_t>(ended), all), all);
    });
  }
  const LoadReport found = summarize(result);
  const auto settings = settings_of(flags, plan, model.id);
  const int printed = print_result(flags.output == "json" ? load_json(found, settings)
                                                          : load_table(found, settings));
  if (result.interrupted) return static_cast<int>(ExitCode::interrupt);
  if (printed != 0 || found.failed == 0) return printed;
  return report(Fault::lines_failed, std::to_string(found.failed) + " of " +
                                         std::to_string(plan.requests) +
                                         " requests failed; the output says why");
}

GenerateCall call_of(const Flags& flags, const std::vector<std::int32_t>& prompt) {
  GenerateCall call;
  call.model = flags.model;
  call.input = prompt;
  call.sampling.temperature = 0.0F;
  call.sampling.max_tokens = static_cast<std::int32_t>(flags.answer_tokens());
  call.sampling.ignore_eos = true;
  return call;
}

std::string body_of(const Flags& flags, const std::string& model,
                    const std::vector<std::int32_t>& prompt) {
  std::string ids;
  for (const std::int32_t id : prompt) ids += (ids.empty() ? "" : ",") + std::to_string(id);
  return "{\"model\":" + model::quote_json(model) + ",\"prompt\":[" + ids +
         "],\"max_tokens\":" + std::to_string(flags.answer_tokens()) +
         ",\"temperature\":0,\"ignore_eos\":true,\"return_token_ids\":true,\"stream\":true,"
         "\"stream_options\":{\"include_usage\":true}}";
}

int bench(const Flags& flags) {
  if (flags.server.url.empty()) {
    return report(Fault::missing_argument,
                  "troupe bench serve needs --url, a running gateway. `troupe serve` starts one");
  }
  if (const auto failed = check_access_flags(flags.server)) return *failed;
  const auto unreachable = [&flags](const ClientFailure& failure) {
    return report(client_fault(failure), client_message(failure, flags.server.url));
  };
  if (flags.api == "openai") {
    const OpenAiClient client(flags.server);
    const auto described = client.describe(flags.model);
    if (const auto* failure = std::get_if<ClientFailure>(&described)) return unreachable(*failure);
    const auto& model = std::get<ClientModel>(described);
    return measure(flags, model, [&](const std::vector<std::int32_t>& prompt) {
      return client.stream("/v1/completions", body_of(flags, model.id, prompt));
    });
  }
  const InferenceClient client(flags.server);
  const auto described = client.describe(flags.model);
  if (const auto* failure = std::get_if<ClientFailure>(&described)) return unreachable(*failure);
  return measure(flags, std::get<ClientModel>(described),
                 [&](const std::vector<std::int32_t>& prompt) {
                   return client.generate(call_of(flags, prompt));
                 });
}

}  // namespace

Command bench_serve_command() {
  Command command;
  command.name = "bench serve";
  command.summary = "Measure a running gateway under load: TTFT, ITL, throughput";
  command.usage = "troupe bench serve --url HOST:PORT [flags]";
  command.examples = {
      "troupe bench serve --url 127.0.0.1:50051 --clients 8",
      "troupe bench serve --url 127.0.0.1:50051 --rate 20 --requests 500 -o json",
      "troupe bench serve --url 127.0.0.1:8080 --api openai --prompt-tokens 64:512",
  };
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    declare(options, *flags);
    return [flags] { return bench(*flags); };
  };
  return command;
}

}  // namespace troupe::services
