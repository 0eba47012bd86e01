// `troupe eval kl`: what quantising a model, or its activations, costs on a text.
#include <algorithm>
#include <cmath>
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

constexpr const char* kUsage = "troupe eval kl DIR --against DIR2 --text FILE [flags]";

struct KlFlags : TextFlags {
  std::string against, against_mode, against_kv_cache;

  const std::string& reference() const { return against.empty() ? directory : against; }
  /// Another model, or this one in another way.
  bool has_reference() const {
    return !against.empty() || !against_mode.empty() || !against_kv_cache.empty();
  }
};

/// One of the two models with its engine.
struct Side {
  std::optional<OpenModel> model;
  std::unique_ptr<actors::LocalCluster> cluster;

  std::int64_t vocabulary() const { return model->config().vocab_size; }
};

/// The text in ids, which must be the same for both.
std::optional<int> encode_for_both(const KlFlags& flags, const std::string& text,
                                   const Side& tested, const Side& reference,
                                   std::vector<std::int32_t>& ids) {
  const auto other = [&](const std::string& how) {
    return report(Fault::bad_value, "--against " + flags.reference() +
                                        " has another tokenizer than " + flags.directory + ": " +
                                        how + ". Only models of one tokenizer can be compared");
  };
  if (const auto how = tokenizer_difference(*tested.model->tokenizer, *reference.model->tokenizer))
    return other(*how);
  if (const auto failed = encode_text(flags, *tested.model, text, ids)) return failed;
  std::vector<std::int32_t> again;
  if (const auto failed = encode_text(flags, *reference.model, text, again)) return failed;
  if (ids != again) return other("the ids of the text differ");
  return std::nullopt;
}

/// Adds what two models say of one window.
class WindowScore {
 public:
  WindowScore(const Side& tested, const Side& reference, KlResult& result)
      : tested_(static_cast<std::size_t>(tested.vocabulary())),
        reference_(static_cast<std::size_t>(reference.vocabulary())),
        valid_(static_cast<std::size_t>(
            std::min(tested.model->valid_vocab(), reference.model->valid_vocab()))),
        result_(result) {}

  /// Logits [prompt, vocabulary] of each. *Errors*: `malformed` when a row is not finite.
  Expected<void> add(std::span<const std::int32_t> prompt, std::span<const float> tested,
                     std::span<const float> reference) {
    for (std::size_t k = 0; k + 1 < prompt.size(); ++k) {
      const auto q = tested.subspan(k * tested_, valid_);
      const auto p = reference.subspan(k * reference_, valid_);
      const RowDistance distance = row_distance(p, q);
      if (!std::isfinite(distance.kl))
        return unexpected(Errc::malformed, "the logits of position " + std::to_string(k) +
                                               " are no finite numbers; a weight may be damaged");
      result_.kl.add(distance.kl);
      if (distance.same_top) ++result_.same_top;
      result_.surprise.add(-log_probability(q, prompt[k + 1]));
      result_.reference_surprise.add(-log_probability(p, prompt[k + 1]));
    }
    return {};
  }

 private:
  std::size_t tested_, reference_;  // ids in a row
  std::size_t valid_;               // of them, those with a token
  KlResult& result_;
};

/// Computes each window with one model, then with the other, so that two windows of logits are
/// kept at most.
std::optional<int> compare(const KlFlags& flags, const TextWindows& windows, const Side& tested,
                           const Side& reference, KlResult& result) {
  const auto total = 2 * static_cast<std::uint64_t>(windows.scored());
  Progress progress(
      {"comparing", progress_style(flags.engine.no_progress), {}, ProgressUnit::tokens});
  std::int64_t before = 0;
  const PromptWait wait{&interrupted, [&](std::int64_t done) {
                          const auto computed = static_cast<std::uint64_t>(before + done);
                          progress.update(std::min(computed, total), total);
                        }};
  WindowScore score(tested, reference, result);
  for (std::size_t i = 0; i < windows.count(); ++i) {
    const auto prompt = windows.window(i);
    before = 2 * result.kl.count();
    const auto p = prompt_logits(*reference.cluster, prompt, reference.vocabulary(), wait);
    before += static_cast<std::int64_t>(prompt.size()) - 1;
    const auto q = p ? prompt_logits(*tested.cluster, prompt, tested.vocabulary(), wait) : p;
    if (interrupted()) return static_cast<int>(ExitCode::interrupt);
    const auto added = q ? score.add(prompt, *q, *p) : Expected<void>(unexpected(q.error()));
    if (!added)
      return report(engine_fault(added.error().code),
                    "window " + std::to_string(i) + ": " + added.error().detail);
  }
  progress.update(total, total);
  return std::nullopt;
}

/// Starts the engine of `side`.
std::optional<int> start(const EngineOptions& options, Side& side) {
  auto started = start_local(*side.model, options, 1);
  if (!started.cluster) return started.exit_code;
  side.cluster = std::move(started.cluster);
  return std::nullopt;
}

std::string mode_of(const EngineOptions& options, const Side& side) {
  return std::string(
      to_string(numerics_of(options, side.model->config().quantisation.format).mode));
}

int eval_kl(const KlFlags& flags) {
  if (!flags.has_reference())
    return report(Fault::missing_argument,
                  std::string("--against DIR2 is missing, or --against-mode or --against-kv-cache "
                              "for the same model in another way. Usage: ") +
                      kUsage);
  if (const auto failed = check_engine(flags.engine)) return *failed;
  std::string text;
  if (const auto failed = read_text(flags, kUsage, text)) return *failed;
  Side tested;
  Side reference;
  if (const auto failed = open_text_model(flags.directory, flags.engine.pages(), tested.model))
    return *failed;
  if (const auto failed = open_text_model(flags.reference(), flags.engine.pages(), reference.model))
    return *failed;
  std::vector<std::int32_t> ids;
  if (const auto failed = encode_for_both(flags, text, tested, reference, ids)) return *failed;
  const auto positions = std::min(tested.model->context(), reference.model->context());
  std::optional<TextWindows> windows;
  if (const auto failed = cut_text(flags, *tested.model, positions, std::move(ids), windows))
    return *failed;
  KlResult result;
  result.model = tested.model->checkpoint.directory().string();
  result.reference = reference.model->checkpoint.directory().string();
  const EngineOptions options = window_engine(flags, positions);
  EngineOptions against = options;
  if (!flags.against_mode.empty()) against.mode = flags.against_mode;
  if (!flags.against_kv_cache.empty()) against.kv_cache = flags.against_kv_cache;
  result.mode = mode_of(options, tested);
  result.kv_cache = options.kv_cache;
  result.reference_mode = mode_of(against, reference);
  result.reference_kv_cache = against.kv_cache;
  result.span = {static_cast<std::int64_t>(windows->count()), window_length(flags, positions)};
  if (const auto failed = start(options, tested)) return *failed;
  if (const auto failed = start(against, reference)) return *failed;
  if (const auto ended = compare(flags, *windows, tested, reference, result)) return *ended;
  return print_result(flags.json ? kl_json(result) : kl_text(result));
}

}  // namespace

Command eval_kl_command() {
  Command command;
  command.name = "eval kl";
  command.summary = "What quantising costs: mean KL from another model on a text, same top tokens";
  command.usage = kUsage;
  command.examples = {
      "troupe eval kl DeepSeek-V3-int4 --against DeepSeek-V3 --text wiki.test.raw",
      "troupe eval kl DeepSeek-V3 --mode fp8-act --against-mode bf16 --text wiki.test.raw",
      "troupe eval kl DeepSeek-V3 --kv-cache fp8 --against-kv-cache auto --text wiki.test.raw"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<KlFlags>();
    options.group("Input");
    flags->declare_input(options);
    options.add(
        {"--against", "DIR2", "The model it is measured against [the same]", text(flags->against)});
    options.add({"--against-mode", "MODE", "Activations of that model [those of --mode]",
                 mode_choice(flags->against_mode)});
    options.add({"--against-kv-cache", "FORMAT", "Latent cache of that model [that of --kv-cache]",
                 choice(flags->against_kv_cache, {"auto", "fp8"})});
    flags->declare_rest(options);
    return [flags] { return eval_kl(*flags); };
  };
  return command;
}

}  // namespace troupe::services
