// Random walks through the masks of the DeepSeek vocabulary: whatever a model picks, what it has
// written at a stop fits. tests/e2e/structured_output_test.py asks others (jsonschema, re) the
// same.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "model/grammar/grammar.hpp"
#include "tests/support/grammar_walk.hpp"
#include "tests/unit/model/tokenizer/golden_files.hpp"

namespace troupe::model {
namespace {

std::shared_ptr<const TokenTable> deepseek_table() {
  static const auto table = std::make_shared<const TokenTable>(deepseek_tokenizer());
  return table;
}

TEST(GrammarWalks, ObjectsParseAndTheMaskAgreesWithTheBytes) {
  const auto grammar =
      Grammar::compile({GrammarSpec::Kind::json_object, ""}, deepseek_table()).value();
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const auto walk = tests::random_walk(grammar, *deepseek_table(), seed, 60);
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + walk.text);
    ASSERT_TRUE(walk.complete);
    const auto json = nlohmann::json::parse(walk.text, nullptr, false);
    ASSERT_FALSE(json.is_discarded());
    EXPECT_TRUE(json.is_object());
  }
}

// Every id's bit against advancing a copy by that id: the trie walk and its short cuts are exact.
TEST(GrammarWalks, EachBitOfAMaskIsWhetherTheTokenCanBeTaken) {
  const std::vector<GrammarSpec> specs{
      {GrammarSpec::Kind::json_object, ""},
      {GrammarSpec::Kind::regex, "[a-z ]{3,40}中*(\\d|é)+"},
      {GrammarSpec::Kind::json_schema,
       R"({"properties": {"name": {"type": "string", "maxLength": 20},
           "tags": {"type": "array", "items": {"enum": ["red", "green"]}}},
           "required": ["tags"]})"}};
  for (const GrammarSpec& spec : specs) {
    const auto grammar = Grammar::compile(spec, deepseek_table()).value();
    GrammarState state(grammar);
    std::mt19937_64 random(7);
    for (int step = 0; step < 6 && !state.ended(); ++step) {
      std::vector<std::uint64_t> allowed(2020, 0);
      state.mask(allowed, {});
      std::vector<std::int32_t> ids;
      for (std::int32_t id = 0; id < 2020 * 64; ++id) {
        const bool bit = allowed[static_cast<std::size_t>(id) / 64] >> (id % 64) & 1;
        GrammarState copy = state;
        ASSERT_EQ(bit, copy.advance(id)) << spec.text << " step " << step << " id " << id;
        if (bit) ids.push_back(id);
      }
      ASSERT_FALSE(ids.empty());
      ASSERT_TRUE(state.advance(ids[random() % ids.size()]));
    }
  }
}

}  // namespace
}  // namespace troupe::model
