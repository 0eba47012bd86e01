// `troupe model inspect`: what a checkpoint holds and what each role needs of it.
#include <memory>

#include "model/checkpoint/inspect.hpp"
#include "services/cli/command.hpp"
#include "services/cli/loading_notice.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/model_lookup.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

Expected<model::Inspection> inspect(const std::filesystem::path& directory) {
  const LoadingNotice notice("and checking " + directory.string());
  const auto checkpoint = model::Checkpoint::open(directory);
  if (!checkpoint) return unexpected(checkpoint.error());
  return model::inspect(*checkpoint);
}

int print(const model::Inspection& inspection, bool json) {
  std::string page = json ? model::to_json(inspection) : model::to_text(inspection);
  if (!page.ends_with('\n')) page += '\n';
  return print_result(page);
}

}  // namespace

Command inspect_command() {
  struct Flags {
    std::string directory;
    bool json = false;
  };
  Command command;
  command.name = "model inspect";
  command.summary = "Check a checkpoint and show layers, sizes, dtypes, what each role needs";
  command.usage = "troupe model inspect DIR [--json]";
  command.examples = {"troupe model inspect DIR", "troupe model inspect DIR --json"};
  command.make = [](OptionSet& options) {
    auto flags = std::make_shared<Flags>();
    options.group("Input and output");
    options.add({"DIR",
                 "",
                 "Hugging Face checkpoint directory",
                 text(flags->directory),
                 {},
                 Shown::first_screen,
                 false,
                 true});
    options.add({"--json", "", "Print one JSON object, every layer listed", yes_no(flags->json)});
    return [flags] {
      const auto directory = find_model(flags->directory);
      if (!directory) return report(Fault::model_missing, directory.error().detail);
      const auto inspection = inspect(*directory);
      if (inspection) return print(*inspection, flags->json);
      return report(model_fault(inspection.error().code), inspection.error().detail);
    };
  };
  return command;
}

}  // namespace troupe::services
