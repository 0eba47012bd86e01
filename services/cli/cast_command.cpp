// `troupe model cast`: an FP8 checkpoint as BF16.
#include <memory>

#include "model/checkpoint/cast.hpp"
#include "services/cli/command.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/model_lookup.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {
namespace {

struct Flags {
  std::string to, in, out;
  bool no_progress = false;
};

int report_cast(const Error& error, const Flags& flags) {
  switch (error.code) {
    case Errc::cancelled:
      warn("interrupted. The same command goes on where this one stopped");
      return static_cast<int>(ExitCode::interrupt);
    case Errc::invalid_argument: return report(Fault::bad_value, error.detail);
    case Errc::resource_exhausted:
    case Errc::io:
      return report(Fault::output_failed,
                    error.detail + ". Free space or choose another place than " + flags.out +
                        "; the same command goes on where this one stopped");
    default: return report(model_fault(error.code), error.detail);
  }
}

int cast(const Flags& flags) {
  if (flags.to.empty()) {
    return report(Fault::missing_argument,
                  "troupe model cast needs --to bf16. Usage: troupe model cast --to bf16 IN OUT");
  }
  const auto in = find_model(flags.in);
  if (!in) return report(Fault::model_missing, in.error().detail);
  Expected<model::CastReport> done = model::CastReport{};
  {
    Progress progress({"casting", progress_style(flags.no_progress), {}});
    model::CastOptions options;
    options.progress = [&](std::uint64_t bytes, std::uint64_t total) {
      progress.update(bytes, total);
    };
    options.stop = [] { return interrupted(); };
    done = model::cast_to_bf16(*in, flags.out, options);
  }
  if (!done) return report_cast(done.error(), flags);
  std::fprintf(stderr, "%s: %llu tensors cast, %llu files written, %llu kept, %s\n",
               flags.out.c_str(), static_cast<unsigned long long>(done->tensors_cast),
               static_cast<unsigned long long>(done->files_written),
               static_cast<unsigned long long>(done->files_kept),
               human_bytes(done->bytes_total).c_str());
  return 0;
}

}  // namespace

Command cast_command() {
  Command command;
  command.name = "model cast";
  command.summary = "Write an FP8 checkpoint as BF16; resumes where it was cut off";
  command.usage = "troupe model cast --to bf16 IN OUT";
  command.examples = {"troupe model cast --to bf16 DeepSeek-V3 DeepSeek-V3-bf16"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    options.group("Input and output");
    options.add({"IN",
                 "",
                 "Checkpoint directory to read",
                 text(flags->in),
                 {},
                 Shown::first_screen,
                 false,
                 true});
    options.add({"OUT",
                 "",
                 "Directory to write; created, or continued",
                 text(flags->out),
                 {},
                 Shown::first_screen,
                 false,
                 true});
    options.add({"--to", "DTYPE", "Target dtype: bf16", choice(flags->to, {"bf16"})});
    options.add(
        {"--no-progress", "", "No progress bar and no progress lines", yes_no(flags->no_progress)});
    return [flags] { return cast(*flags); };
  };
  return command;
}

}  // namespace troupe::services
