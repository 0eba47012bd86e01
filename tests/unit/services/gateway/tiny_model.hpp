// The bundled model opened once for the tests of the gateway.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "services/gateway/served_model.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::services {

inline const OpenModel& tiny_model() {
  static const Expected<OpenModel> opened =
      open_model((std::filesystem::path(troupe::kSourceDir) / "examples" / "troupe-tiny").string());
  return opened.value();
}

inline const ServedModel& tiny_served() {
  static const Expected<ServedModel> served =
      ServedModel::make(tiny_model(), {.name = "", .numerics_id = 0x1234});
  return served.value();
}

/// It speaks with a chat template of tests/goldens/chat: "r1", "v31", ...
inline const ServedModel& tiny_speaking(const std::string& family) {
  static std::map<std::string, ServedModel> all;
  const auto file = std::filesystem::path(troupe::kSourceDir) / "tests/goldens/chat" / family;
  const ServedModel::Settings settings{.name = "", .template_file = file.string() + ".jinja"};
  const auto found = all.find(family);
  if (found != all.end()) return found->second;
  return all.emplace(family, ServedModel::make(tiny_model(), settings).value()).first->second;
}

/// A model without a tokenizer.
inline const ServedModel& wordless_served() {
  static const Expected<OpenModel> opened = open_model(
      (std::filesystem::path(troupe::kSourceDir) / "tests/goldens/v3-mini/model").string());
  static const Expected<ServedModel> served = ServedModel::make(opened.value(), {.name = "mini"});
  return served.value();
}

}  // namespace troupe::services
