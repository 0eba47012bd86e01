// `troupe eval logits`: raw logits, and greedy continuations, of many id arrays at once.
#include <limits>
#include <memory>

#include "services/cli/command.hpp"
#include "services/cli/compute.hpp"
#include "services/cli/ids_file.hpp"
#include "services/cli/logits_recorder.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"

namespace troupe::services {
namespace {

constexpr std::chrono::milliseconds kInterruptPoll{50};

struct Flags {
  std::string directory, ids_file, out;
  std::optional<std::int64_t> generate, valid_vocab;
  EngineOptions engine;

  std::int64_t generated() const { return generate.value_or(0); }
};

int missing_flag(const char* flag) {
  return report(Fault::missing_argument,
                std::string("troupe eval logits needs ") + flag +
                    " FILE. Usage: troupe eval logits DIR --ids-file F.json --out O.safetensors");
}

actors::GenerateRequest request_for(std::vector<std::int32_t> prompt, const Flags& flags,
                                    std::int64_t valid_vocab) {
  actors::GenerateRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = static_cast<std::int32_t>(flags.generated());
  request.sampling.ignore_eos = true;
  request.valid_vocab = valid_vocab;
  request.prompt_logits = true;
  request.generated_logits = flags.generated() > 0;
  return request;
}

/// Checks of F against the model. Returns the exit code of a reported error.
std::optional<int> check_input(const Flags& flags, const IdArrays& prompts,
                               const OpenModel& model) {
  const std::int64_t vocab = model.config().vocab_size;
  if (flags.valid_vocab && *flags.valid_vocab > vocab) {
    return report(Fault::bad_value, "--valid-vocab is " + std::to_string(*flags.valid_vocab) +
                                        " and the model's vocabulary has " + std::to_string(vocab) +
                                        " ids");
  }
  const auto checked = check_ids(prompts, {vocab, model.context(), flags.generated()});
  if (checked) return std::nullopt;
  return report(Fault::token_out_of_range, flags.ids_file + ": " + checked.error().detail);
}

/// Submits all prompts, waits for the last. False: Ctrl-C.
bool run_all(actors::RequestEngine& cluster, LogitsRecorder& recorder,
             std::vector<actors::GenerateRequest> requests) {
  std::vector<actors::RequestId> ids;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto id = cluster.submit(std::move(requests[i]), recorder.listener(i));
    if (id) {
      ids.push_back(*id);
    } else {
      recorder.give_up(i, id.error());
    }
  }
  bool cancelled = false;
  while (!recorder.wait(kInterruptPoll)) {
    if (!interrupted() || cancelled) continue;
    for (const actors::RequestId id : ids) cluster.cancel(id);
    cancelled = true;
  }
  return !cancelled;
}

int finish(const Flags& flags, const LogitsRecorder& recorder, SafetensorsWriter& writer) {
  if (const auto failure = recorder.failure()) {
    if (failure->writing) return report(Fault::output_failed, failure->error.detail);
    return report(engine_fault(failure->error.code), flags.ids_file + ": array " +
                                                         std::to_string(failure->request) + ": " +
                                                         failure->error.detail);
  }
  const auto kept = writer.commit();
  return kept ? 0 : report(Fault::output_failed, kept.error().detail);
}

int eval_logits(const Flags& flags) {
  if (flags.ids_file.empty()) return missing_flag("--ids-file");
  if (flags.out.empty()) return missing_flag("--out");
  if (const auto failed = check_engine(flags.engine)) return *failed;
  const auto prompts = read_ids_file(flags.ids_file);
  if (!prompts && prompts.error().code == Errc::cancelled)
    return static_cast<int>(ExitCode::interrupt);
  if (!prompts) return report(Fault::bad_input_file, prompts.error().detail);
  const auto model =
      open_model(flags.directory, {.tokenizer = !flags.valid_vocab,
                                   .defaults = false,
                                   .pages = flags.engine.pages()});
  if (!model) return report(model_fault(model.error().code), model.error().detail);
  if (const auto failed = check_input(flags, *prompts, *model)) return *failed;

  const std::int64_t vocab = model->config().vocab_size;
  StartedCluster started = start_cluster(*model, flags.engine, prompts->size());
  if (!started.cluster) return started.exit_code;
  auto writer =
      SafetensorsWriter::create(flags.out, logits_arrays(*prompts, flags.generated(), vocab));
  if (!writer) return report(Fault::output_failed, writer.error().detail);
  LogitsRecorder recorder(*writer, prompts->size(), flags.generated(), vocab);
  std::vector<actors::GenerateRequest> requests;
  for (const std::vector<std::int32_t>& prompt : *prompts) {
    requests.push_back(
        request_for(prompt, flags, flags.valid_vocab.value_or(model->valid_vocab())));
  }
  if (!run_all(*started.cluster, recorder, std::move(requests))) {
    return static_cast<int>(ExitCode::interrupt);
  }
  return finish(flags, recorder, *writer);
}

}  // namespace

Command eval_logits_command() {
  Command command;
  command.name = "eval logits";
  command.summary = "Raw logits and greedy tokens of token-id arrays, as safetensors";
  command.usage = "troupe eval logits DIR --ids-file F.json --out O.safetensors [flags]";
  command.examples = {
      "troupe eval logits DIR --ids-file ids.json --out out.safetensors --generate 16",
      "troupe eval logits DIR --ids-file ids.json --out out.safetensors --mode f32 "
      "--layout experts=3",
  };
  command.make = [](OptionSet& options) {
    constexpr std::int64_t kTokensMax = std::numeric_limits<std::int32_t>::max();
    auto flags = std::make_shared<Flags>();
    options.group("Input and output");
    options.add({"DIR",
                 "",
                 "Directory with config.json and weights; no tokenizer needed",
                 text(flags->directory),
                 {},
                 Shown::first_screen,
                 false,
                 true});
    options.add({"--ids-file", "FILE", "JSON: array of arrays of token ids, taken as they are",
                 text(flags->ids_file)});
    options.add(
        {"--out", "FILE", "Safetensors file to write; replaced if present", text(flags->out)});
    options.add({"--generate", "N", "Also N greedy tokens per array, end of text ignored",
                 integer(flags->generate, {1, kTokensMax})});
    options.add({"--valid-vocab", "V", "Generate ids below V only [the tokenizer's length]",
                 integer(flags->valid_vocab, {1, kTokensMax})});
    options.group("Engine");
    flags->engine.mode = "bf16";  // what others are compared with, whatever the weights
    flags->engine.declare(options, Spread::processes);
    return [flags] { return eval_logits(*flags); };
  };
  return command;
}

}  // namespace troupe::services
