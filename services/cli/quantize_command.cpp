// `troupe model quantize`: an FP8 or BF16 checkpoint as INT8 or INT4.
#include <memory>

#include "services/cli/cast_run.hpp"
#include "services/runtime/faults.hpp"

namespace troupe::services {
namespace {

constexpr const char* kUsage = "troupe model quantize --to int4|int4-all|int8|int8-channel IN OUT";

CastRun run_of(const std::string& target) {
  using model::WeightFormat;
  CastRun run{.to = WeightFormat::int4_groups, .doing = "quantising"};
  for (const WeightFormat format : {WeightFormat::int8_blocks, WeightFormat::int8_channel})
    if (target == model::to_string(format)) run.to = format;
  if (target == "int4-all") run.int4_layers = model::Int4Layers::all;
  return run;
}

}  // namespace

Command quantize_command() {
  Command command;
  command.name = "model quantize";
  command.summary = "Write an FP8 or BF16 checkpoint as INT8 or INT4; resumes where it was cut off";
  command.usage = kUsage;
  command.examples = {"troupe model quantize --to int8 DeepSeek-R1 DeepSeek-R1-int8",
                      "troupe model quantize --to int4 Kimi-K2 Kimi-K2-int4"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<CastFlags>();
    add_cast_options(options, *flags, {"int4", "int4-all", "int8", "int8-channel"});
    return [flags] {
      if (flags->to.empty())
        return report(Fault::missing_argument,
                      "troupe model quantize needs --to int4, int4-all, int8 or int8-channel. "
                      "Usage: " +
                          std::string(kUsage));
      return run_cast(*flags, run_of(flags->to));
    };
  };
  return command;
}

}  // namespace troupe::services
