// `troupe bench model`: prompts and generations through the engine, as llama-bench has them.
#include <algorithm>
#include <memory>
#include <random>
#include <string>

#include "kernels/ops/mla_attention.hpp"
#include "services/bench/model_report.hpp"
#include "services/cli/command.hpp"
#include "services/cli/compute.hpp"
#include "services/cli/streamed_line.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/machine.hpp"
#include "services/runtime/model_lookup.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kTokensMax = 1 << 20;
const std::int64_t kBatchMax = actors::ClusterSettings{}.step_rows_max;  // run at once
constexpr std::int64_t kThreadsMax = 4096;
constexpr std::int64_t kRepetitionsMax = 1000;

struct Flags {
  std::string directory;
  std::optional<std::int64_t> prompt, generate, repetitions;
  std::vector<std::int64_t> batch{1}, depth{0}, threads;
  std::optional<std::uint64_t> seed;
  EngineOptions engine;
  bool json = false;

  std::int64_t prompt_tokens() const { return prompt.value_or(512); }
  std::int64_t generated_tokens() const { return generate.value_or(128); }
  std::int64_t deepest() const { return *std::ranges::max_element(depth); }
};

/// "1,8,32": replaces the list. `multiple`: of which each must be one.
Assign integer_list(std::vector<std::int64_t>& target, IntegerRange range,
                    std::int64_t multiple = 1) {
  return [&target, range, multiple](std::string_view value) -> Expected<void> {
    std::vector<std::int64_t> list;
    for (std::size_t at = 0; at <= value.size();) {
      const std::size_t comma = std::min(value.find(',', at), value.size());
      const auto one = parse_integer(value.substr(at, comma - at));
      if (!one || *one < range.min || *one > range.max) {
        return unexpected(Errc::invalid_argument, "takes whole numbers from " +
                                                      std::to_string(range.min) + " to " +
                                                      std::to_string(range.max) + " as in 1,8,32");
      }
      if (*one % multiple != 0) {
        return unexpected(Errc::invalid_argument, "takes multiples of " + std::to_string(multiple) +
                                                      ", the cache's page, as in 0,8192");
      }
      list.push_back(*one);
      at = comma + 1;
    }
    target = std::move(list);
    return {};
  };
}

std::vector<ModelTest> tests_of(const Flags& flags) {
  std::vector<ModelTest> tests;
  for (const std::int64_t depth : flags.depth) {
    for (const std::int64_t sequences : flags.batch) {
      if (flags.prompt_tokens() > 0)
        tests.push_back({ModelTest::Kind::prompt, flags.prompt_tokens(), sequences, depth});
      if (flags.generated_tokens() > 0)
        tests.push_back({ModelTest::Kind::generate, flags.generated_tokens(), sequences, depth});
    }
  }
  return tests;
}

/// Whether the tests fit the model, or the exit code of the reported error.
std::optional<int> check_lengths(const Flags& flags, std::int64_t context) {
  // A generation begins with one id of its own.
  const std::int64_t longest = std::max(flags.prompt_tokens(), flags.generated_tokens() + 1);
  const std::int64_t deepest = flags.deepest();
  if (deepest + longest <= context) return std::nullopt;
  const std::string behind =
      deepest > 0 ? " behind --depth " + std::to_string(deepest) : std::string();
  return report(Fault::prompt_too_long,
                "--prompt " + std::to_string(flags.prompt_tokens()) + ", --generate " +
                    std::to_string(flags.generated_tokens()) + behind + ": the model has " +
                    std::to_string(context) + " positions. Lower the longer one" +
                    (deepest > 0 ? " or the depth" : ""));
}

ModelRun run_of(const Flags& flags, const OpenModel& model) {
  ModelRun run;
  run.model = served_name("", model.checkpoint.directory().string());
  for (const auto& tensor : model.checkpoint.tensors()) run.weight_bytes += tensor.bytes;
  run.parameters = model::parameter_counts(model.config());
  run.mode = to_string(numerics_of(flags.engine, model.config().quantisation.format).mode);
  run.kv_cache = flags.engine.kv_cache;
  run.seed = flags.seed ? *flags.seed : std::random_device{}();
  return run;
}

/// The tests one after the other, with each number of threads.
class ModelBench {
 public:
  ModelBench(const Flags& flags, const OpenModel& model)
      : flags_(flags), model_(model), run_(run_of(flags, model)), random_(run_.seed) {}

  int run() {
    std::optional<int> ended;
    if (!flags_.json) ended = stream_line(model_table_head(run_));
    for (const std::int64_t threads : flags_.threads) {
      if (!ended) ended = measure_with(static_cast<int>(threads));
    }
    if (!flags_.json || (ended && !interrupted())) return ended.value_or(0);
    const int printed = print_result(model_json(run_, results_));
    return ended.value_or(printed);
  }

 private:
  // Each of these says nothing when all went well, else the exit code to end with.

  std::optional<int> measure_with(int threads) {
    const auto limits = limits_with(threads);
    if (!limits) return report(Fault::memory_not_available, limits.error().detail);
    if (interrupted()) return static_cast<int>(ExitCode::interrupt);
    const auto tests = tests_of(flags_);
    EngineOptions options = flags_.engine;
    options.threads = threads;
    // Every prompt is to be computed, what it stands behind is not.
    options.prefix_cache = flags_.deepest() > 0 ? "on" : "off";
    options.kv_tokens = 0;
    for (const ModelTest& test : tests)
      options.kv_tokens = std::max(*options.kv_tokens, test.kv_tokens());
    const auto most = *std::max_element(flags_.batch.begin(), flags_.batch.end());
    const auto started = start_local(model_, options, static_cast<std::size_t>(most));
    if (!started.cluster) return started.exit_code;
    step_rows_ = std::max(started.settings.step_rows_max, started.settings.chunk);
    filled_.clear();
    for (const ModelTest& test : tests) {
      if (const auto ended = measure(test, *limits, *started.cluster)) return ended;
    }
    return std::nullopt;
  }

  Expected<MachineLimits> limits_with(int threads) const {
    const auto engine = BenchEngine::make(*kernels::select_level(flags_.engine.level), threads);
    if (!engine) return unexpected(engine.error());
    return engine->limits();
  }

  /// Computes the positions that the test's sequences stand behind, unless a test before did.
  std::optional<int> fill(const ModelTest& test, actors::RequestEngine& engine) {
    if (!filled_.empty() && std::ssize(filled_.front()) != test.depth) filled_.clear();
    const std::int64_t missing = test.sequences - std::ssize(filled_);
    if (test.depth == 0 || missing <= 0) return std::nullopt;
    auto requests = requests_of({ModelTest::Kind::prompt, test.depth, missing, 0},
                                model_.config().vocab_size, random_, {});
    for (const auto& request : requests) filled_.push_back(request.prompt);
    return seconds_or_end(test, seconds_of(engine, std::move(requests), &interrupted));
  }

  static std::optional<int> seconds_or_end(const ModelTest& test, const Expected<double>& seconds) {
    if (interrupted()) return static_cast<int>(ExitCode::interrupt);
    if (seconds) return std::nullopt;
    return report(engine_fault(seconds.error().code), test.name() + ": " + seconds.error().detail);
  }

  /// Once to warm up, then so often as --repetitions says, each time with other ids.
  std::optional<int> measure(const ModelTest& test, const MachineLimits& limits,
                             actors::RequestEngine& engine) {
    ModelResult result{test, limits, work_of(test), {}};
    const std::int64_t repetitions = flags_.repetitions.value_or(5);
    if (const auto ended = fill(test, engine)) return ended;
    for (std::int64_t i = 0; i <= repetitions; ++i) {
      auto requests = requests_of(test, model_.config().vocab_size, random_, filled_);
      const auto seconds = seconds_of(engine, std::move(requests), &interrupted, test.depth);
      if (const auto ended = seconds_or_end(test, seconds)) return ended;
      if (i > 0) result.repetitions.push_back(*seconds);
    }
    results_.push_back(std::move(result));
    if (flags_.json) return std::nullopt;
    return stream_line(model_table_line(run_, results_.back()));
  }

  model::Work work_of(const ModelTest& test) const {
    const auto numerics = numerics_of(flags_.engine, model_.config().quantisation.format);
    const auto bytes = model::value_bytes_of(model_.checkpoint, numerics);
    const auto how = model::arithmetic_of(model_.checkpoint, numerics);
    if (test.kind == ModelTest::Kind::prompt)
      return model::prompt_work(model_.config(), bytes,
                                {test.sequences, test.tokens, step_rows_, test.depth}, how);
    return model::generation_work(model_.config(), bytes, {test.sequences, test.tokens, test.depth},
                                  how);
  }

  const Flags& flags_;
  const OpenModel& model_;
  ModelRun run_;
  std::mt19937_64 random_;
  std::int64_t step_rows_ = 0;
  std::vector<ModelResult> results_;
  std::vector<std::vector<std::int32_t>> filled_;  // what sequences stand behind, of one depth
};

int bench(Flags& flags) {
  if (const auto failed = check_engine(flags.engine)) return *failed;
  if (flags.prompt_tokens() == 0 && flags.generated_tokens() == 0) {
    return report(Fault::bad_value,
                  "--prompt 0 and --generate 0 leave nothing to measure. Give one of them tokens");
  }
  if (flags.threads.empty()) flags.threads = {cores_allowed()};
  const auto model = open_model(
      flags.directory, {.tokenizer = false, .defaults = false, .pages = flags.engine.pages()});
  if (!model) return report(model_fault(model.error().code), model.error().detail);
  if (const auto failed = check_lengths(flags, model->context())) return *failed;
  return ModelBench(flags, *model).run();
}

void declare(OptionSet& options, Flags& flags) {
  options.group("What is measured");
  options.add({"DIR",
               "",
               "Directory with config.json and weights; no tokenizer needed",
               text(flags.directory),
               {},
               Shown::first_screen,
               false,
               true});
  options.add({"--prompt", "N", "Compute prompts of N random ids; 0: none [512]",
               integer(flags.prompt, {0, kTokensMax})});
  options.add({"--generate", "N", "Generate N tokens behind one id; 0: none [128]",
               integer(flags.generate, {0, kTokensMax})});
  options.add({"--batch", "B,...", "Sequences at once, one test each [1]",
               integer_list(flags.batch, {1, kBatchMax})});
  options.add({"--depth", "N,...", "Cached positions before each test, multiples of 64 [0]",
               integer_list(flags.depth, {0, kTokensMax}, kernels::kPageTokens)});
  options.add({"--repetitions", "R", "Measure each test R times after one that warms up [5]",
               integer(flags.repetitions, {1, kRepetitionsMax})});
  options.add({"--seed", "S", "The same seed gives the same ids [drawn and printed]",
               unsigned_integer(flags.seed)});
  options.group("Engine");
  options.add({"--threads", "T,...", "Compute threads, all tests for each [the machine's cores]",
               integer_list(flags.threads, {1, kThreadsMax})});
  flags.engine.mode = "bf16";
  flags.engine.declare_numerics(options);
  options.add({"--chunk", "C", "Prompt tokens computed per step [scheduler's]",
               integer(flags.engine.chunk, {1, kTokensMax})});
  flags.engine.declare_pages(options);
  options.group("Output");
  options.add({"--json", "", "Print one JSON object", yes_no(flags.json)});
  options.add({"--no-progress",
               "",
               "No progress bar and no progress lines while loading",
               yes_no(flags.engine.no_progress),
               {},
               Shown::help_all});
}

}  // namespace

Command bench_model_command() {
  Command command;
  command.name = "bench model";
  command.summary = "Measure a model's prompt and generation speed here, as llama-bench does";
  command.usage = "troupe bench model DIR [--prompt N] [--generate N] [--batch B,...] [flags]";
  command.examples = {
      "troupe bench model DIR",
      "troupe bench model DIR --prompt 512 --generate 128 --batch 1,8,32 --threads 1,2",
      "troupe bench model DIR --prompt 0 --generate 32 --depth 0,8192",
      "troupe bench model DIR --prompt 0 --repetitions 10 --json",
  };
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    declare(options, *flags);
    return [flags] { return bench(*flags); };
  };
  return command;
}

}  // namespace troupe::services
