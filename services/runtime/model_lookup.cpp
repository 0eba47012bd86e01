// Looks at the three places a build, an installation and a source tree keep the bundled model.
#include "services/runtime/model_lookup.hpp"

#include <array>
#include <system_error>

namespace troupe::services {
namespace fs = std::filesystem;

fs::path executable_directory() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored).parent_path();
}

Expected<fs::path> find_model(const std::string& named) {
  std::error_code ignored;
  if (!named.empty()) {
    if (fs::is_directory(named, ignored)) return fs::path(named);
    const std::string wanted = "the directory that holds config.json and the weights";
    return unexpected(Errc::not_found,
                      fs::exists(named, ignored)
                          ? named + " is not a directory. Name " + wanted
                          : "no model directory at " + named + ". Check the path to " + wanted);
  }
  const fs::path here = executable_directory();
  const std::array<fs::path, 3> places{
      here / "examples/troupe-tiny",
      here.parent_path() / "share/troupe/examples/troupe-tiny",
      fs::path(TROUPE_SOURCE_DIR) / "examples/troupe-tiny",
  };
  std::string looked;
  for (const fs::path& place : places) {
    if (fs::is_regular_file(place / "config.json", ignored)) return place;
    looked += (looked.empty() ? "" : ", ") + place.string();
  }
  return unexpected(Errc::not_found, "the bundled model is not installed (looked at " + looked +
                                         "). Name a model with --model DIR");
}

std::string served_name(const std::string& given, const std::string& model_path) {
  if (!given.empty()) return given;
  const auto directory = find_model(model_path);
  if (!directory) return model_path;
  std::error_code failed;
  const auto whole = fs::canonical(*directory, failed);
  return (failed ? *directory : whole).filename().string();
}

}  // namespace troupe::services
