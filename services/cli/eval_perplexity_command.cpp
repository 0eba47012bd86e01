// `troupe eval perplexity`: how well a model foresees a text.
#include <algorithm>
#include <memory>

#include "services/cli/command.hpp"
#include "services/cli/compute.hpp"
#include "services/cli/text_input.hpp"
#include "services/eval/eval_report.hpp"
#include "services/eval/window_run.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {
namespace {

constexpr const char* kUsage = "troupe eval perplexity DIR --text FILE [--context N] [flags]";

/// Scores all windows into `result`, or gives the exit code to end with.
std::optional<int> score(const TextFlags& flags, const OpenModel& model, const TextWindows& windows,
                         actors::RequestEngine& engine, PerplexityResult& result) {
  const auto total = static_cast<std::uint64_t>(windows.scored());
  Progress progress(
      {"scoring", progress_style(flags.engine.no_progress), {}, ProgressUnit::tokens});
  const PromptWait wait{&interrupted, [&](std::int64_t done) {
                          const auto scored = result.surprise.count() + done;
                          progress.update(std::min(static_cast<std::uint64_t>(scored), total),
                                          total);
                        }};
  for (std::size_t i = 0; i < windows.count(); ++i) {
    const auto found =
        prompt_log_probabilities(engine, windows.window(i), model.valid_vocab(), wait);
    if (interrupted()) return static_cast<int>(ExitCode::interrupt);
    if (!found)
      return report(engine_fault(found.error().code),
                    "window " + std::to_string(i) + ": " + found.error().detail);
    for (const float log_probability : *found)
      result.surprise.add(-static_cast<double>(log_probability));
  }
  progress.update(total, total);
  return std::nullopt;
}

int eval_perplexity(const TextFlags& flags) {
  if (const auto failed = check_engine(flags.engine)) return *failed;
  std::string text;
  if (const auto failed = read_text(flags, kUsage, text)) return *failed;
  std::optional<OpenModel> model;
  if (const auto failed = open_text_model(flags.directory, flags.engine.pages(), model))
    return *failed;
  std::vector<std::int32_t> ids;
  if (const auto failed = encode_text(flags, *model, text, ids)) return *failed;
  std::optional<TextWindows> windows;
  if (const auto failed = cut_text(flags, *model, model->context(), std::move(ids), windows))
    return *failed;
  const auto started = start_local(*model, window_engine(flags, model->context()), 1);
  if (!started.cluster) return started.exit_code;
  PerplexityResult result;
  result.model = model->checkpoint.directory().string();
  result.span = {static_cast<std::int64_t>(windows->count()),
                 window_length(flags, model->context())};
  if (const auto ended = score(flags, *model, *windows, *started.cluster, result)) return *ended;
  return print_result(flags.json ? perplexity_json(result) : perplexity_text(result));
}

}  // namespace

Command eval_perplexity_command() {
  Command command;
  command.name = "eval perplexity";
  command.summary = "How well a model foresees a text: exp of the mean -log p of its tokens";
  command.usage = kUsage;
  command.examples = {"troupe eval perplexity DIR --text wiki.test.raw",
                      "troupe eval perplexity DIR --text wiki.test.raw --context 2048 --json"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<TextFlags>();
    options.group("Input");
    flags->declare_input(options);
    flags->declare_rest(options);
    return [flags] { return eval_perplexity(*flags); };
  };
  return command;
}

}  // namespace troupe::services
