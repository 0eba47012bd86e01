// The reference arrays of a golden preset, read with the project's own safetensors reader.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/checkpoint/safetensors.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::testing {

inline std::filesystem::path golden_dir(const std::string& preset) {
  return std::filesystem::path(troupe::kSourceDir) / "tests/goldens" / preset;
}

/// golden.safetensors of one preset by array name.
class GoldenArrays {
 public:
  explicit GoldenArrays(const std::string& preset)
      : file_(*model::SafetensorsFile::open(golden_dir(preset) / "golden.safetensors")) {
    for (const auto& entry : file_.header().entries) entries_[entry.name] = &entry;
  }
  bool has(const std::string& name) const { return entries_.contains(name); }
  std::vector<float> floats(const std::string& name) const { return values<float>(name); }
  std::vector<std::int32_t> ints(const std::string& name) const {
    return values<std::int32_t>(name);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& [name, entry] : entries_) all.push_back(name);
    return all;
  }

 private:
  template <class T>
  std::vector<T> values(const std::string& name) const {
    const auto bytes = file_.data(*entries_.at(name));
    std::vector<T> out(bytes.size() / sizeof(T));
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
  model::SafetensorsFile file_;
  std::map<std::string, const model::SafetensorsEntry*> entries_;
};

inline double standard_deviation(const std::vector<float>& v) {
  double sum = 0;
  double squares = 0;
  for (const float x : v) sum += x;
  const double mean = sum / static_cast<double>(v.size());
  for (const float x : v) squares += (x - mean) * (x - mean);
  return std::sqrt(squares / static_cast<double>(v.size()));
}

}  // namespace troupe::testing
