// `troupe doctor`: one line per check of this machine, each with the fix if it is not well.
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "kernels/probe.hpp"
#include "services/cli/command.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/machine.hpp"
#include "services/runtime/model_lookup.hpp"
#include "services/runtime/progress.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

enum class Verdict { ok, warn, fail };

struct Check {
  Verdict verdict = Verdict::ok;
  std::string name;
  std::string finding;  // what was found; not well: and the fix
};

std::string line_of(const Check& check) {
  constexpr std::array<const char*, 3> kWords{"ok  ", "warn", "fail"};
  std::string name = check.name;
  name.resize(16, ' ');
  return std::string(kWords[static_cast<std::size_t>(check.verdict)]) + "  " + name +
         check.finding + "\n";
}

std::string rounded(double value, const char* unit) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", value, unit);
  return text.data();
}

Check check_level(const kernels::KernelTable* table, const Error& error) {
  if (table == nullptr) {
    return {Verdict::fail, "cpu level",
            error.detail + ". Use a machine with AVX2, FMA and F16C (any x86-64-v3 CPU)"};
  }
  std::string levels;
  for (const auto* level : kernels::available_levels()) {
    levels += (levels.empty() ? "" : ", ") + std::string(level->name);
  }
  return {Verdict::ok, "cpu level", std::string(table->name) + " (this CPU runs " + levels + ")"};
}

Check check_cores() {
  const int cores = cores_allowed();
  const std::string found = std::to_string(cores) + (cores == 1 ? " core" : " cores");
  if (cores > 1) return {Verdict::ok, "cores", found};
  return {Verdict::warn, "cores", found + ". Allow at least 2, or loading and computing share one"};
}

std::uint64_t weight_bytes(const std::filesystem::path& directory) {
  std::uint64_t bytes = 0;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
    if (entry.path().extension() == ".safetensors") bytes += entry.file_size(failed);
  }
  return bytes;
}

Check check_memory(const std::filesystem::path& model) {
  const auto found = memory();
  if (!found)
    return {Verdict::warn, "memory", "unknown: /proc/meminfo cannot be read. Mount /proc"};
  const std::string text =
      human_bytes(found->available) + " available of " + human_bytes(found->total);
  const std::uint64_t needed = model.empty() ? 0 : weight_bytes(model);
  if (needed > found->available) {
    return {Verdict::warn, "memory",
            text + ", and the weights of " + model.string() + " take " + human_bytes(needed) +
                ": they are read from disk again and again. Free or add memory"};
  }
  constexpr std::uint64_t kLittle = std::uint64_t{512} << 20;
  if (found->available < kLittle) {
    return {Verdict::warn, "memory", text + ". Free some: even a small model wants 512 MiB"};
  }
  return {Verdict::ok, "memory", text};
}

Check check_model(const std::string& named, std::filesystem::path& directory) {
  const auto found = find_model(named);
  if (!found) return {named.empty() ? Verdict::warn : Verdict::fail, "model", found.error().detail};
  directory = *found;
  return {Verdict::ok, "model", found->string() + ", " + human_bytes(weight_bytes(*found))};
}

Check check_bandwidth(const kernels::Engine& engine) {
  const double rate = kernels::read_bandwidth_gbs(engine);
  if (rate <= 0) {
    return {Verdict::warn, "read bandwidth", "not measured: 256 MiB could not be had. Free memory"};
  }
  return {Verdict::ok, "read bandwidth",
          rounded(rate, "GB/s") + " on " + std::to_string(engine.pool->threads()) +
              " threads: decode cannot read weights faster"};
}

Check check_fma(const kernels::Engine& engine) {
  return {Verdict::ok, "fma peak",
          rounded(kernels::fma_peak_gflops(engine), "GFLOP/s") + " in F32 on " +
              std::to_string(engine.pool->threads()) + " threads: prefill cannot compute faster"};
}

Check check_bf16(const kernels::Engine& engine) {
  return {Verdict::ok, "bf16 peak",
          rounded(kernels::bf16_peak_gflops(engine), "GFLOP/s") + " on " +
              std::to_string(engine.pool->threads()) +
              " threads: the same with weights in BF16 and FP8"};
}

Check check_tiles(const kernels::Engine& engine) {
  return {Verdict::ok, "amx bf16 peak",
          rounded(kernels::tile_peak_gflops(engine), "GFLOP/s") + " on " +
              std::to_string(engine.pool->threads()) +
              " threads: the same with --mode bf16-tiles, whose answers have other bits"};
}

Check check_int8(const kernels::Engine& engine) {
  return {Verdict::ok, "int8 peak",
          rounded(kernels::int8_peak_gops(engine), "GOP/s") + " on " +
              std::to_string(engine.pool->threads()) + " threads: the same with --mode int8-act"};
}

class Report {
 public:
  void add(const Check& check) {
    failed_ += check.verdict == Verdict::fail ? 1 : 0;
    written_ = written_ && write_stdout(line_of(check));
  }
  int failed() const { return failed_; }

 private:
  int failed_ = 0;
  bool written_ = true;
};

int examine(const std::string& named) {
  Report checks;
  const auto table = kernels::select_level("auto");
  checks.add(check_level(table ? *table : nullptr, table ? Error{} : table.error()));
  checks.add(check_cores());
  std::filesystem::path directory;
  const Check model = check_model(named, directory);
  checks.add(check_memory(directory));
  checks.add(model);
  if (!table) return report(Fault::level_not_available, "this CPU cannot run Troupe; see above");
  kernels::ComputePool pool({});
  const kernels::Engine engine{*table, &pool};
  checks.add(check_bandwidth(engine));
  if (!interrupted()) checks.add(check_fma(engine));
  if (!interrupted() && kernels::multiplies_bf16(engine)) checks.add(check_bf16(engine));
  if (!interrupted() && kernels::multiplies_tiles(engine)) checks.add(check_tiles(engine));
  if (!interrupted()) checks.add(check_int8(engine));
  if (interrupted()) return static_cast<int>(ExitCode::interrupt);
  if (checks.failed() == 0) return 0;
  return report(Fault::checks_failed, std::to_string(checks.failed()) +
                                          (checks.failed() == 1 ? " check" : " checks") +
                                          " failed; each line says what to do");
}

}  // namespace

Command doctor_command() {
  Command command;
  command.name = "doctor";
  command.summary = "Check this machine: CPU level, memory, read bandwidth, FMA and INT8 peak";
  command.usage = "troupe doctor [--model DIR]";
  command.examples = {"troupe doctor", "troupe doctor --model DIR"};
  command.make = [](OptionSet& options) {
    auto model = std::make_shared<std::string>();
    options.group("Model");
    options.add({"--model", "DIR", "Also check that its weights fit the memory [bundled model]",
                 text(*model)});
    return [model] { return examine(*model); };
  };
  return command;
}

}  // namespace troupe::services
