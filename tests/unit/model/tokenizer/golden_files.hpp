// The pinned DeepSeek tokenizer and the lines of its golden files, loaded once for all tests.
#pragma once
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/tokenizer/tokenizer.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::model {

inline std::filesystem::path golden_dir() {
  return std::filesystem::path(troupe::kSourceDir) / "tests/goldens/tokenizer";
}

inline const Tokenizer& deepseek_tokenizer() {
  static const Tokenizer tokenizer = Tokenizer::load(golden_dir()).value();
  return tokenizer;
}

inline std::vector<nlohmann::json> golden_lines(const std::string& name) {
  std::ifstream file(golden_dir() / name);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace troupe::model
