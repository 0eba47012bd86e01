// `troupe run`: completes raw text, or token ids.
#include <memory>

#include "services/cli/access_options.hpp"
#include "services/cli/command.hpp"
#include "services/cli/generation.hpp"
#include "services/cli/prompt_source.hpp"
#include "services/cli/remote_generation.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kMaxTokensDefault = 256;

struct Flags {
  GenerationFlags generation;
  PromptFlags prompt;
  std::optional<std::vector<std::int32_t>> ids;
  bool output_ids = false;
};

/// The prompt's text, or the exit code of a reported error.
Answered<std::string, int> prompt_text(const Flags& flags) {
  auto text = read_prompt(flags.prompt);
  if (!text && text.error().code == Errc::cancelled) return static_cast<int>(ExitCode::interrupt);
  if (!text) {
    const bool misused = text.error().code == Errc::invalid_argument;
    return report(misused ? Fault::missing_argument : Fault::bad_input_file, text.error().detail);
  }
  if (const auto valid = require_utf8(*text, "the prompt"); !valid) {
    return report(Fault::prompt_not_utf8, valid.error().detail);
  }
  return *std::move(text);
}

int run_local(const Flags& flags, const std::string* text) {
  Generation generation(flags.generation, kMaxTokensDefault);
  if (const auto failed = generation.open()) return *failed;
  if (text == nullptr) return generation.answer(*flags.ids, flags.output_ids).exit_code;
  if (const auto failed = generation.require_tokenizer()) return *failed;
  auto ids = encode_raw(generation.model(), *text);
  if (!ids) {
    const bool long_text = ids.error().code == Errc::out_of_range;
    return report(long_text ? Fault::prompt_too_long : Fault::bad_value, ids.error().detail);
  }
  return generation.answer(*std::move(ids), flags.output_ids).exit_code;
}

int run_remote(const Flags& flags, const std::string* text) {
  if (const auto failed = check_access_flags(flags.generation.server)) return *failed;
  RemoteGeneration generation(flags.generation, kMaxTokensDefault);
  GenerateCall call;
  if (text != nullptr) {
    call.input = *text;
    return generation.answer(std::move(call), flags.output_ids).exit_code;
  }
  call.input = *flags.ids;
  const auto speaks = generation.speaks_text();
  if (const int* failed = std::get_if<int>(&speaks)) return *failed;
  return generation.answer(std::move(call), flags.output_ids || !std::get<bool>(speaks)).exit_code;
}

int run(const Flags& flags) {
  const auto work = flags.generation.server.url.empty() ? run_local : run_remote;
  if (!flags.ids) {
    const auto text = prompt_text(flags);
    if (const int* failed = std::get_if<int>(&text)) return *failed;
    return work(flags, &std::get<std::string>(text));
  }
  if (flags.prompt.argument_given || !flags.prompt.prompt_file.empty()) {
    return report(Fault::surplus_argument, "--ids replaces the prompt's text. Leave one out");
  }
  return work(flags, nullptr);
}

void declare(OptionSet& options, Flags& flags) {
  options.group("Prompt and model");
  options.add({"PROMPT", "", "Text to complete; - reads standard input",
               [&flags](std::string_view value) -> Expected<void> {
                 flags.prompt.argument = value;
                 flags.prompt.argument_given = true;
                 return {};
               }});
  options.add({"--prompt-file", "FILE", "Read the prompt from FILE, byte by byte as it is",
               text(flags.prompt.prompt_file)});
  flags.generation.declare_model(options);
  flags.generation.sampling.declare(options, kMaxTokensDefault);
  options.group("Engine");
  flags.generation.engine.declare(options, Spread::processes);
  options.group("Token ids", Shown::help_all);
  options.add({"--ids", "I,J,...", "Token ids instead of text; nothing is added in front",
               id_list(flags.ids)});
  options.add({"--output-ids", "", "Print token ids instead of text", yes_no(flags.output_ids)});
}

}  // namespace

Command run_command() {
  Command command;
  command.name = "run";
  command.summary = "Complete a text; streams to standard output";
  command.usage = "troupe run [flags] \"prompt\"";
  command.examples = {
      "troupe run \"In the beginning\" --max-tokens 40",
      "troupe run --temperature 0 --prompt-file story.txt",
      "troupe run --model DIR --ids 0,17,4 --output-ids",
      "troupe run --url 127.0.0.1:50051 \"In the beginning\"",
      "troupe run --url https://llm.example.org --tls-ca ca.pem \"In the beginning\"",
  };
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    declare(options, *flags);
    return [flags] { return run(*flags); };
  };
  return command;
}

}  // namespace troupe::services
