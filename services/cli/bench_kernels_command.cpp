// `troupe bench kernels`: every operation at the shapes of known models, against this machine.
#include <algorithm>
#include <memory>
#include <string>

#include "services/bench/kernel_report.hpp"
#include "services/cli/command.hpp"
#include "services/cli/engine_options.hpp"
#include "services/cli/streamed_line.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/machine.hpp"

namespace troupe::services {
namespace {

constexpr std::int64_t kThreadsMax = 4096;
constexpr std::int64_t kWorkingSetMibMax = 1 << 20;
constexpr double kSecondsMax = 600;
constexpr float kSecondsDefault = 0.2F;
// A cycle of weights this much larger than the last cache level finds nothing in it again.
constexpr std::int64_t kCachesInPool = 8;
constexpr std::int64_t kPoolBytesMin = 256 << 20;

struct Flags {
  std::optional<std::int64_t> threads, working_set_mib;
  std::optional<float> min_time;
  std::string level = "auto";
  std::string filter;
  bool json = false;

  double seconds_min() const { return min_time.value_or(kSecondsDefault); }
};

/// So much that every cycle comes from memory, and that the largest matrix has room.
std::int64_t pool_bytes_for(const std::vector<KernelCase>& cases, const Flags& flags) {
  std::int64_t bytes = std::max(kPoolBytesMin, kCachesInPool * last_level_cache_bytes());
  if (flags.working_set_mib) bytes = *flags.working_set_mib << 20;
  for (const KernelCase& one : cases) bytes = std::max(bytes, largest_piece_bytes(one));
  return bytes;
}

int no_such_case(const std::string& filter) {
  const auto all = kernel_cases("");
  return report(Fault::bad_value, "--filter " + filter +
                                      ": no case has this in its name. Names are "
                                      "MODEL/OPERATION[/PART]/DTYPE/ROWS, as in " +
                                      all.front().name() + " or " + all.back().name());
}

/// Runs the cases and prints each line as it is there; JSON in the end, of what there is.
int measure(const Flags& flags, const std::vector<KernelCase>& cases, const KernelRun& run,
            const kernels::Engine& engine, WeightPool& pool) {
  std::vector<KernelResult> results;
  std::optional<int> ended;
  if (!flags.json) ended = stream_line(kernel_table_head(run));
  for (auto one = cases.begin(); one != cases.end() && !ended && !interrupted(); ++one) {
    auto result = measure_kernel(*one, engine, pool, {flags.seconds_min(), &interrupted});
    if (!result) break;
    if (!flags.json) ended = stream_line(kernel_table_line(*result, run.limits));
    results.push_back(*std::move(result));
  }
  if (flags.json) ended = print_result(kernels_json(run, results));
  return interrupted() ? static_cast<int>(ExitCode::interrupt) : ended.value_or(0);
}

int bench(const Flags& flags) {
  const auto table = kernels::select_level(flags.level);
  if (!table) return report(Fault::level_not_available, table.error().detail);
  const auto cases = kernel_cases(flags.filter);
  if (cases.empty()) return no_such_case(flags.filter);
  const auto engine =
      BenchEngine::make(*table, static_cast<int>(flags.threads.value_or(cores_allowed())));
  if (!engine) return report(Fault::memory_not_available, engine.error().detail);
  auto pool = WeightPool::make(pool_bytes_for(cases, flags));
  if (!pool) return report(Fault::memory_not_available, pool.error().detail);
  const KernelRun run{engine->limits(), pool->bytes(), last_level_cache_bytes()};
  return measure(flags, cases, run, engine->engine(), *pool);
}

}  // namespace

Command bench_kernels_command() {
  Command command;
  command.name = "bench kernels";
  command.summary = "Measure every kernel at known models' shapes against this machine's limits";
  command.usage = "troupe bench kernels [--filter TEXT] [flags]";
  command.examples = {
      "troupe bench kernels --filter bench-1b",
      "troupe bench kernels --filter linear/q_b/fp8 --threads 1",
      "troupe bench kernels --level avx2 --min-time 1 --json",
  };
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    options.group("What is measured");
    options.add({"--filter", "TEXT",
                 "Only cases whose name MODEL/OPERATION/... contains TEXT [all]",
                 text(flags->filter)});
    options.add({"--min-time", "SECONDS", "Repeat each case for so long; the fastest counts [0.2]",
                 number(flags->min_time, {0, kSecondsMax})});
    options.add({"--working-set-mib",
                 "N",
                 "Weights that are gone through before one is read again [8 last-level caches]",
                 integer(flags->working_set_mib, {1, kWorkingSetMibMax}),
                 {},
                 Shown::help_all});
    options.group("Engine");
    options.add({"--threads", "T", "Compute threads [the machine's cores]",
                 integer(flags->threads, {1, kThreadsMax})});
    options.add(level_option(flags->level));
    options.group("Output");
    options.add({"--json", "", "Print one JSON object", yes_no(flags->json)});
    return [flags] { return bench(*flags); };
  };
  return command;
}

}  // namespace troupe::services
