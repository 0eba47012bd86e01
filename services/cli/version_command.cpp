// `troupe version`: what this binary is and which numbers it computes.
#include <memory>
#include <string>

#include "kernels/registry.hpp"
#include "services/cli/command.hpp"
#include "services/runtime/faults.hpp"
#include "services/runtime/terminal.hpp"

namespace troupe::services {
namespace {

struct VersionFacts {
  std::vector<std::string> levels;  // this machine's, slowest first
  std::vector<std::string> known_levels;
};

VersionFacts gather() {
  VersionFacts facts;
  for (const kernels::KernelTable* table : kernels::available_levels()) {
    facts.levels.emplace_back(table->name);
  }
  for (const std::string_view name : kernels::known_levels()) facts.known_levels.emplace_back(name);
  return facts;
}

std::string joined(const std::vector<std::string>& words, const char* quote) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + (quote + word + quote);
  return out;
}

std::string as_text(const VersionFacts& facts) {
  return "troupe " TROUPE_VERSION "\nnumerics class  " + std::string(kernels::kNumericsClass) +
         ", kernels version " + std::to_string(kernels::kKernelNumericsVersion) +
         "\nlevels          " + joined(facts.levels, "") + " (of " +
         joined(facts.known_levels, "") +
         ")\nbuild           " TROUPE_BUILD_TYPE "\nlicence         Apache-2.0\n";
}

std::string as_json(const VersionFacts& facts) {
  return "{\"version\": \"" TROUPE_VERSION "\", \"numerics_class\": \"" +
         std::string(kernels::kNumericsClass) +
         "\", \"kernel_numerics_version\": " + std::to_string(kernels::kKernelNumericsVersion) +
         ", \"levels\": [" + joined(facts.levels, "\"") + "], \"known_levels\": [" +
         joined(facts.known_levels, "\"") + "], \"build_type\": \"" TROUPE_BUILD_TYPE "\"}\n";
}

}  // namespace

Command version_command() {
  Command command;
  command.name = "version";
  command.summary = "Version, numerics class, CPU levels and build type";
  command.usage = "troupe version [--json]";
  command.examples = {"troupe version --json"};
  command.make = [](OptionSet& options) {
    auto json = std::make_shared<bool>(false);
    options.group("Output").add({"--json", "", "Print one JSON object", yes_no(*json)});
    return [json] {
      const VersionFacts facts = gather();
      return print_result(*json ? as_json(facts) : as_text(facts));
    };
  };
  return command;
}

}  // namespace troupe::services
