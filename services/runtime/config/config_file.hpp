// A YAML configuration file as values of known keys, each with its line.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "services/runtime/faults.hpp"

namespace troupe::services {

/// Why a configuration cannot be used: for `report`.
struct ConfigProblem {
  Fault fault = Fault::config_bad_value;
  std::string text;
};

/// A value as the file spells it; the elements of a list are joined by commas.
struct FileValue {
  std::string text;
  int line = 0;  // from 1
};
using FileValues = std::map<std::string, FileValue, std::less<>>;  // by the key's path

/// Fills `values` from the file, or says what is wrong: a file that cannot be read, text that is
/// no YAML, an unknown or repeated key (the line and the nearest known key are named), a value of
/// the wrong shape. *Threading*: blocks on disk.
std::optional<ConfigProblem> read_config_file(const std::string& path, FileValues& values);

/// The same for text that was read already; `name` is what messages call it.
std::optional<ConfigProblem> parse_config_text(const std::string& name, const std::string& text,
                                               FileValues& values);

}  // namespace troupe::services
