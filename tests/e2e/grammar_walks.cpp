// Writes random answers that grammars allow, for tests in Python that judge them.
//
//   grammar_walks TOKENIZER_DIR WALKS SEED < SPECS
// SPECS: a line {"kind": "json_object" | "json_schema" | "regex", "text": ...} each. Per line out:
// {"walks": [...], "cut": how many were given up} or {"error": ...}.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "model/grammar/grammar.hpp"
#include "tests/support/grammar_walk.hpp"

namespace {

using troupe::model::GrammarSpec;

GrammarSpec spec_of(const nlohmann::json& line) {
  const std::string kind = line.at("kind");
  GrammarSpec spec{GrammarSpec::Kind::json_object, line.value("text", "")};
  if (kind == "json_schema") spec.kind = GrammarSpec::Kind::json_schema;
  if (kind == "regex") spec.kind = GrammarSpec::Kind::regex;
  return spec;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "grammar_walks TOKENIZER_DIR WALKS SEED < SPECS\n");
    return 2;
  }
  const auto tokenizer = troupe::model::Tokenizer::load(argv[1]);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().detail.c_str());
    return 2;
  }
  const auto table = std::make_shared<const troupe::model::TokenTable>(*tokenizer);
  const auto walks = std::strtoull(argv[2], nullptr, 10);
  std::uint64_t seed = std::strtoull(argv[3], nullptr, 10) * 1'000'003;
  for (std::string line; std::getline(std::cin, line);) {
    nlohmann::json out;
    const auto grammar =
        troupe::model::Grammar::compile(spec_of(nlohmann::json::parse(line)), table);
    if (!grammar) {
      out["error"] = grammar.error().detail;
    } else {
      out["walks"] = nlohmann::json::array();
      out["cut"] = 0;
      for (std::uint64_t i = 0; i < walks; ++i) {
        const auto walk = troupe::tests::random_walk(*grammar, *table, ++seed, 40);
        if (walk.complete) {
          out["walks"].push_back(walk.text);
        } else {
          out["cut"] = out["cut"].get<int>() + 1;
        }
      }
    }
    std::cout << out.dump() << "\n";
  }
}
