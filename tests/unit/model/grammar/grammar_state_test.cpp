// What a sequence may write next: masks, stop ids, whole tokens, the grammar's late begin.
#include <gtest/gtest.h>

#include "model/grammar/grammar_cache.hpp"
#include "tests/unit/model/grammar/small_table.hpp"

namespace troupe::model {
namespace {

std::vector<std::int32_t> allowed_ids(const GrammarState& state,
                                      const std::vector<std::int32_t>& stop_ids = {},
                                      std::size_t words = 6) {
  std::vector<std::uint64_t> allowed(words, ~0ull);
  state.mask(allowed, stop_ids);
  std::vector<std::int32_t> ids;
  for (std::size_t id = 0; id < words * 64; ++id) {
    if (allowed[id / 64] >> (id % 64) & 1) ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

using Ids = std::vector<std::int32_t>;

TEST(GrammarState, TokensOfSeveralBytesFollowTheGrammarToTheirLastByte) {
  // Ids from 256: "ab", "abc", "abd", "b\xe4", "\xbd\xa0", "ab" again, nothing, "c".
  const auto table = byte_table({"ab", "abc", "abd", "b\xe4", "\xbd\xa0", "ab", "", "c"});
  GrammarState state(Grammar::compile({GrammarSpec::Kind::regex, "ab(c|你|)"}, table).value());
  EXPECT_EQ(allowed_ids(state), (Ids{'a', 256, 257, 261}));
  GrammarState copy = state;
  ASSERT_TRUE(copy.advance('a'));
  EXPECT_EQ(allowed_ids(copy), (Ids{'b', 259}));
  ASSERT_TRUE(copy.advance(259));  // ends inside a character
  EXPECT_FALSE(copy.complete());
  EXPECT_EQ(allowed_ids(copy), (Ids{0xbd, 260}));
  ASSERT_TRUE(copy.advance(260));
  EXPECT_TRUE(copy.ended());
  EXPECT_TRUE(allowed_ids(copy).empty());
  ASSERT_TRUE(state.advance(261));  // the copy did not move it
  EXPECT_TRUE(state.complete());
  EXPECT_FALSE(state.ended());
  EXPECT_EQ(allowed_ids(state, {300}), (Ids{'c', 0xe4, 263, 300}));
}

TEST(GrammarState, ARefusedTokenLeavesTheStateAsItWas) {
  GrammarState state(compile_regex("ab").value());
  for (const std::int32_t token : {static_cast<std::int32_t>('b'), 256, 300, -1, 1 << 30})
    EXPECT_FALSE(state.advance(token)) << token;
  EXPECT_TRUE(state.advance('a'));
  EXPECT_FALSE(state.advance('a'));
  EXPECT_EQ(next_bytes(state), "b");
}

TEST(GrammarState, StopIdsComeExactlyWhenTheTextIsComplete) {
  GrammarState state(compile_regex("ab?").value());
  EXPECT_EQ(allowed_ids(state, {300, 301}), (Ids{'a'}));
  ASSERT_TRUE(state.advance('a'));
  EXPECT_EQ(allowed_ids(state, {300, 301}), (Ids{'b', 300, 301}));
  ASSERT_TRUE(state.advance('b'));
  EXPECT_TRUE(state.ended());
  EXPECT_EQ(allowed_ids(state, {300, 301}), (Ids{300, 301}));
}

TEST(GrammarState, AStopIdThatIsTextWaitsUnlessNothingElseCouldBeWritten) {
  GrammarState state(compile_regex("[ab]c").value());
  EXPECT_EQ(allowed_ids(state, {'a', 'c'}), (Ids{'b'}));
  ASSERT_TRUE(state.advance('b'));
  EXPECT_EQ(allowed_ids(state, {'c', 300}), (Ids{'c'}));
}

TEST(GrammarState, TheMaskIsCutToTheRoomItIsGiven) {
  const auto table = byte_table({"ab"});
  GrammarState state(Grammar::compile({GrammarSpec::Kind::regex, "ab"}, table).value());
  EXPECT_EQ(allowed_ids(state, {300}, 4), (Ids{'a'}));
  EXPECT_EQ(allowed_ids(state, {300}, 2), (Ids{'a'}));
  EXPECT_EQ(allowed_ids(state, {300}, 1), (Ids{}));
}

TEST(GrammarState, UntilItsBeginEverythingButStopIdsIsFree) {
  GrammarState state(compile_regex("x").value(), 310);
  Ids all = allowed_ids(state, {300, 'b'});
  EXPECT_EQ(all.size(), 309u);  // 0..310 without 300 and 'b'
  EXPECT_EQ(all.back(), 310);
  EXPECT_FALSE(state.complete());
  ASSERT_TRUE(state.advance('b'));
  ASSERT_TRUE(state.advance(305));
  EXPECT_FALSE(state.complete());
  ASSERT_TRUE(state.advance(310));
  EXPECT_EQ(allowed_ids(state, {300}), (Ids{'x'}));
  EXPECT_FALSE(state.advance(310));
}

TEST(GrammarState, BytesThatTheVocabularyLacksAreAvoided) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(byte == 'b' ? 0 : 1, char(byte));
  texts.push_back("bc");
  const auto table = std::make_shared<const TokenTable>(texts);
  GrammarState state(Grammar::compile({GrammarSpec::Kind::regex, "a(b|c)"}, table).value());
  ASSERT_TRUE(state.advance('a'));
  EXPECT_EQ(allowed_ids(state), (Ids{'c'}));
  const auto stuck = Grammar::compile({GrammarSpec::Kind::regex, "ab"}, table);
  ASSERT_FALSE(stuck.has_value());
  EXPECT_EQ(stuck.error().code, Errc::invalid_argument);
}

TEST(GrammarState, WhiteSpaceEnds) {
  GrammarState state(compile(GrammarSpec::Kind::json_object, "").value());
  ASSERT_TRUE(state.advance('{'));
  ASSERT_TRUE(state.advance('\n'));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(state.advance(i % 2 ? ' ' : '\t')) << i;
  EXPECT_EQ(next_bytes(state), "\"}");
}

TEST(GrammarState, ForgettingCachesChangesNothing) {
  GrammarLimits small;
  small.cache_bytes_max = 1;
  const auto kept = compile(GrammarSpec::Kind::json_object, "").value();
  const auto forgetful = compile(GrammarSpec::Kind::json_object, "", small).value();
  GrammarState a(kept), b(forgetful);
  for (const char byte : std::string_view(R"({"a": [1, {"b": "\u00e9"}], "c": -1.5e3})")) {
    EXPECT_EQ(next_bytes(a), next_bytes(b));
    EXPECT_EQ(next_bytes(a), next_bytes(a));
    ASSERT_TRUE(a.advance(static_cast<std::uint8_t>(byte)));
    ASSERT_TRUE(b.advance(static_cast<std::uint8_t>(byte)));
  }
  EXPECT_TRUE(a.ended());
  EXPECT_TRUE(b.ended());
  EXPECT_GT(kept->bytes(), forgetful->bytes());
}

// Two schemas that differ only after the recursion: readings of one text double with each level.
TEST(GrammarState, ManyReadingsOfOneTextStayBounded) {
  const auto grammar = compile_schema(R"({"$defs": {
      "a": {"type": "object", "properties": {"k": {"$ref": "#/$defs/n"}, "x": {"type": "null"}}},
      "b": {"type": "object", "properties": {"k": {"$ref": "#/$defs/n"}, "y": {"type": "null"}}},
      "n": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}}, "$ref": "#/$defs/n"})");
  ASSERT_TRUE(grammar.has_value()) << grammar.error().detail;
  GrammarState state(*grammar);
  for (int level = 0; level < 25; ++level) {
    for (const char byte : std::string_view(R"({"k":)"))
      ASSERT_TRUE(state.advance(static_cast<std::uint8_t>(byte))) << level;
  }
  ASSERT_TRUE(state.advance('{'));
  ASSERT_TRUE(state.advance('}'));
  for (int level = 0; level < 25; ++level) ASSERT_TRUE(state.advance('}')) << level;
  EXPECT_TRUE(state.ended());
}

TEST(GrammarState, ChoicesOfReferencesThatMultiplyStayBounded) {
  std::string schema = R"({"$ref": "#/$defs/a0", "$defs": {)";
  for (int i = 0; i < 30; ++i) {
    for (const char* side : {"a", "b"}) {
      const std::string next = std::to_string(i + 1);
      schema += "\"" + (side + std::to_string(i)) + "\": {\"anyOf\": [{\"$ref\": \"#/$defs/a" +
                next + "\"}, {\"$ref\": \"#/$defs/b" + next + "\"}]}, ";
    }
  }
  schema += R"("a30": {"const": 1}, "b30": {"const": 2}}})";
  const auto grammar = compile_schema(schema);
  ASSERT_TRUE(grammar.has_value()) << grammar.error().detail;
  GrammarState state(*grammar);
  EXPECT_FALSE(next_bytes(state).empty());
  ASSERT_TRUE(state.advance(next_bytes(state)[0]));
  EXPECT_TRUE(state.ended());
}

TEST(GrammarCache, EqualSpecsShareAGrammarUntilOthersPushItOut) {
  GrammarCache cache(byte_table(), {.grammars_max = 2, .bytes_max = 1 << 30, .grammar = {}});
  const auto get = [&](const char* pattern) {
    return cache.get({GrammarSpec::Kind::regex, pattern}).value();
  };
  const auto a = get("a");
  EXPECT_EQ(get("a"), a);
  const auto b = get("b");
  EXPECT_EQ(get("a"), a);
  get("c");  // pushes out b
  EXPECT_EQ(get("a"), a);
  EXPECT_NE(get("b"), b);
  EXPECT_FALSE(cache.get({GrammarSpec::Kind::regex, "("}).has_value());
  EXPECT_FALSE(cache.get({GrammarSpec::Kind::none, ""}).has_value());
}

TEST(GrammarCache, BytesPushGrammarsOutAsWell) {
  GrammarCache cache(byte_table(), {.grammars_max = 10, .bytes_max = 1, .grammar = {}});
  const GrammarSpec a{GrammarSpec::Kind::regex, "a"}, b{GrammarSpec::Kind::regex, "b"};
  const auto first = cache.get(a).value();
  EXPECT_EQ(cache.get(a).value(), first);  // the newest stays whatever it holds
  cache.get(b).value();
  EXPECT_NE(cache.get(a).value(), first);
}

}  // namespace
}  // namespace troupe::model
