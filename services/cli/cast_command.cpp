// `troupe model cast`: a quantised checkpoint as BF16.
#include <memory>

#include "services/cli/cast_run.hpp"
#include "services/runtime/faults.hpp"

namespace troupe::services {

Command cast_command() {
  Command command;
  command.name = "model cast";
  command.summary = "Write an FP8, INT8 or INT4 checkpoint as BF16; resumes where it was cut off";
  command.usage = "troupe model cast --to bf16 IN OUT";
  command.examples = {"troupe model cast --to bf16 DeepSeek-V3 DeepSeek-V3-bf16"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<CastFlags>();
    add_cast_options(options, *flags, {"bf16"});
    return [flags] {
      if (flags->to.empty())
        return report(Fault::missing_argument,
                      "troupe model cast needs --to bf16. Usage: troupe model cast --to bf16 IN "
                      "OUT");
      return run_cast(*flags, {.doing = "casting"});
    };
  };
  return command;
}

}  // namespace troupe::services
