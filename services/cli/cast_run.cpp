// Runs a cast under a progress bar; SIGINT ends it where it can be continued.
#include "services/cli/cast_run.hpp"

#include "model/checkpoint/cast.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/interrupts.hpp"
#include "services/runtime/model_lookup.hpp"
#include "services/runtime/progress.hpp"

namespace troupe::services {
namespace {

int report_cast(const Error& error, const CastFlags& flags) {
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

std::string tensors_line(const model::CastReport& report, model::WeightFormat to) {
  const std::string cast = std::to_string(report.tensors_cast);
  if (to == model::WeightFormat::plain) return cast + " tensors cast to BF16";
  return std::to_string(report.tensors_quantised) + " tensors quantised" +
         (report.tensors_cast > 0 ? ", " + cast + " cast to BF16" : "");
}

}  // namespace

void add_cast_options(OptionSet& options, CastFlags& flags, std::vector<std::string> targets) {
  std::string listed;
  for (const std::string& target : targets) listed += (listed.empty() ? "" : ", ") + target;
  options.group("Input and output");
  options.add({"IN",
               "",
               "Checkpoint directory to read",
               text(flags.in),
               {},
               Shown::first_screen,
               false,
               true});
  options.add({"OUT",
               "",
               "Directory to write; created, or continued",
               text(flags.out),
               {},
               Shown::first_screen,
               false,
               true});
  options.add({"--to", "FORMAT", "Target format: " + listed, choice(flags.to, std::move(targets))});
  options.add(
      {"--no-progress", "", "No progress bar and no progress lines", yes_no(flags.no_progress)});
}

int run_cast(const CastFlags& flags, const CastRun& run) {
  const auto in = find_model(flags.in);
  if (!in) return report(Fault::model_missing, in.error().detail);
  Expected<model::CastReport> done = model::CastReport{};
  {
    Progress progress({run.doing, progress_style(flags.no_progress), {}});
    model::CastOptions options;
    options.to = run.to;
    options.int4_layers = run.int4_layers;
    options.progress = [&](std::uint64_t bytes, std::uint64_t total) {
      progress.update(bytes, total);
    };
    options.stop = [] { return interrupted(); };
    done = model::cast_checkpoint(*in, flags.out, options);
  }
  if (!done) return report_cast(done.error(), flags);
  std::fprintf(
      stderr, "%s: %s, %llu files written, %llu kept, %s\n", flags.out.c_str(),
      tensors_line(*done, run.to).c_str(), static_cast<unsigned long long>(done->files_written),
      static_cast<unsigned long long>(done->files_kept), human_bytes(done->bytes_total).c_str());
  return 0;
}

}  // namespace troupe::services
