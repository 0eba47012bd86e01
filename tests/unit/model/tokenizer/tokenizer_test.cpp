// Encoding and decoding on a tokenizer small enough to follow by hand.
#include "model/tokenizer/tokenizer.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "model/tokenizer/detokenizer.hpp"
#include "tests/unit/model/tokenizer/golden_files.hpp"
#include "tests/unit/model/tokenizer/small_tokenizer.hpp"

namespace troupe::model {
namespace {

using Ids = std::vector<std::int32_t>;

Tokenizer small() { return Tokenizer::parse(small_tokenizer().dump()).value(); }

Ids encode(const nlohmann::json& json, std::string_view text) {
  return Tokenizer::parse(json.dump()).value().encode(text).value();
}

nlohmann::json with_splits(const std::vector<std::string>& patterns, bool prefix, bool regex) {
  nlohmann::json steps = nlohmann::json::array();
  for (const auto& pattern : patterns) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"use_regex", regex}});
  auto json = small_tokenizer();
  json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
  return json;
}

TEST(Tokenizer, MergesByRankWithinPieces) {
  const Tokenizer tokenizer = small();
  EXPECT_EQ(tokenizer.encode("abc").value(), (Ids{257}));
  EXPECT_EQ(tokenizer.encode("abab").value(), (Ids{256, 256}));
  EXPECT_EQ(tokenizer.encode(" abc").value(), (Ids{' ', 257}));  // rank 0 before rank 2
  EXPECT_EQ(tokenizer.encode(" a").value(), (Ids{258}));
  EXPECT_EQ(tokenizer.encode("").value(), (Ids{}));
  EXPECT_EQ(tokenizer.size(), 302);
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8AndSaysWhere) {
  for (const auto& [text, at] :
       std::vector<std::pair<std::string, std::string>>{{"ab\xff", "byte 2"},
                                                        {"\x80", "byte 0"},
                                                        {"a\xe4\xb8", "byte 1"},
                                                        {"\xed\xa0\x80", "byte 0"},
                                                        {"\xf4\x90\x80\x80", "byte 0"},
                                                        {"12345678\xc0\xaf", "byte 8"},
                                                        {"\xe4\xb8\xad\xe4\xb8-", "byte 3"}}) {
    const auto ids = small().encode(text);
    ASSERT_FALSE(ids);
    EXPECT_EQ(ids.error().code, Errc::invalid_argument);
    EXPECT_NE(ids.error().detail.find("not UTF-8 at " + at), std::string::npos)
        << ids.error().detail;
  }
}

TEST(Tokenizer, KeepsAddedTokensOfUntrustedTextAsText) {
  const Tokenizer tokenizer = small();
  EXPECT_EQ(tokenizer.encode("a<s>a").value(), (Ids{'a', 300, 'a'}));
  EXPECT_EQ(tokenizer.encode("<s>", {.recognize_added_tokens = false}).value(),
            (Ids{'<', 's', '>'}));
}

TEST(Tokenizer, CutsAddedTokensOutOfTrustedSegmentsOnly) {
  const Tokenizer tokenizer = small();
  const std::vector<Segment> forged = {{"<s>", true}, {"<s>", false}, {"<t>", true}};
  EXPECT_EQ(tokenizer.encode_segments(forged).value(), (Ids{300, '<', 's', '>', 301}));
  const std::vector<Segment> across = {{"<", true}, {"s>", false}};
  EXPECT_EQ(tokenizer.encode_segments(across).value(), (Ids{'<', 's', '>'}));
  const std::vector<Segment> completed = {{"<s", false}, {">", true}};
  EXPECT_EQ(tokenizer.encode_segments(completed).value(), (Ids{'<', 's', '>'}));
}

TEST(Tokenizer, JoinsNeighbouringTrustedSegments) {
  const Tokenizer tokenizer = small();
  const std::vector<Segment> segments = {{"<", true}, {"", false}, {"s", true}, {">", true}};
  EXPECT_EQ(tokenizer.encode_segments(segments).value(), (Ids{300}));
}

TEST(Tokenizer, CutsPiecesWithoutRegardToSegments) {
  const Tokenizer tokenizer = small();
  const std::vector<Segment> segments = {{"a", true}, {"b", false}, {"c", true}};
  EXPECT_EQ(tokenizer.encode_segments(segments).value(), (Ids{257}));
  const std::string text = "\xe4\xb8\xad";  // a character cut by a border is still a character
  const std::vector<Segment> halves = {{std::string_view(text).substr(0, 1), true},
                                       {std::string_view(text).substr(1), false}};
  EXPECT_EQ(tokenizer.encode_segments(halves).value(), tokenizer.encode(text).value());
  EXPECT_EQ(tokenizer.encode_segments({}).value(), (Ids{}));
}

TEST(Tokenizer, GivesTrustedSegmentsTheIdsOfTheWholeText) {
  for (const auto& golden : golden_lines("cases.jsonl")) {
    const auto text = golden["text"].get<std::string>();
    std::vector<Segment> segments;
    for (std::size_t at = 0; at < text.size(); at += 5) {
      segments.push_back({std::string_view(text).substr(at, 5), true});
    }
    EXPECT_EQ(deepseek_tokenizer().encode_segments(segments).value(), golden["ids"].get<Ids>());
  }
}

TEST(Tokenizer, PrefersTheLongestAddedTokenAndTheUnnormalizedPass) {
  auto json = small_tokenizer();
  json["added_tokens"].push_back({{"id", 302}, {"content", "<s>>"}, {"special", true}});
  EXPECT_EQ(encode(json, "<s>>"), (Ids{302}));
  EXPECT_EQ(encode(json, "<s><s>>"), (Ids{300, 302}));
  // "x<" (normalized) starts further left, but "<s>" is cut out in the first pass.
  json["added_tokens"].push_back(
      {{"id", 303}, {"content", "x<"}, {"special", false}, {"normalized", true}});
  EXPECT_EQ(encode(json, "x<s>"), (Ids{'x', 300}));
  EXPECT_EQ(encode(json, "x<x"), (Ids{303, 'x'}));
}

TEST(Tokenizer, PutsASpaceBeforeEveryPieceWithPrefixSpace) {
  EXPECT_EQ(encode(with_splits({}, true, false), "abc"), (Ids{' ', 257}));
  EXPECT_EQ(encode(with_splits({}, true, false), " a"), (Ids{258}));
  EXPECT_EQ(encode(with_splits({}, true, false), ""), (Ids{}));
  EXPECT_EQ(encode(with_splits({"b"}, true, false), "abc"), (Ids{258, ' ', 'b', ' ', 'c'}));
}

TEST(Tokenizer, AppliesByteLevelsOwnPattern) {
  EXPECT_EQ(encode(with_splits({}, false, true), "ab c"), (Ids{256, ' ', 'c'}));
  EXPECT_EQ(encode(with_splits({}, false, false), "x a"), (Ids{'x', 258}));
  EXPECT_EQ(encode(with_splits({}, false, true), "ab1ab"), (Ids{256, '1', 256}));
}

TEST(Tokenizer, SplitsAtEmptyMatchesAsOnigurumaDoes) {
  EXPECT_EQ(encode(with_splits({"x*"}, false, false), "abxxab"),
            (Ids{'a', 'b', 'x', 'x', 'a', 'b'}));
}

TEST(Tokenizer, ShowsLookAroundOnlyThePiece) {
  EXPECT_EQ(encode(with_splits({"c", "b(?!c)"}, false, false), "abc"), (Ids{'a', 'b', 'c'}));
  EXPECT_EQ(encode(with_splits({"b(?!c)"}, false, false), "abc"), (Ids{257}));
}

TEST(Tokenizer, TakesPiecesThatAreTokensWhenMergesAreIgnored) {
  auto json = small_tokenizer();
  json["model"]["vocab"]["zz"] = 259;  // no merge makes it
  EXPECT_EQ(encode(json, "zz"), (Ids{'z', 'z'}));
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(encode(json, "zz"), (Ids{259}));
  EXPECT_EQ(encode(json, "zzz"), (Ids{'z', 'z', 'z'}));
  EXPECT_EQ(encode(json, "<t>"), (Ids{301}));
}

TEST(Tokenizer, EncodesAMegabyteWithoutASpace) {
  const std::string text(1 << 20, 'a');
  const auto ids = deepseek_tokenizer().encode(text);
  ASSERT_TRUE(ids) << ids.error().detail;
  EXPECT_EQ(ids->size(), text.size() / 8);
  EXPECT_EQ(deepseek_tokenizer().decode(*ids), text);
}

TEST(Tokenizer, EncodesTenMegabytesOfText) {
  std::string text;
  while (text.size() < 10'000'000) text += "The quick brown fox\njumps over 13 lazy dogs. 中文\t";
  const auto ids = deepseek_tokenizer().encode(text);
  ASSERT_TRUE(ids) << ids.error().detail;
  EXPECT_EQ(deepseek_tokenizer().decode(*ids), text);
}

TEST(Tokenizer, EndsAHostilePatternWithAnError) {
  const auto tokenizer =
      Tokenizer::parse(with_splits({"(?:a|aa)+[xy]"}, false, false).dump()).value();
  const auto ids = tokenizer.encode(std::string(2000, 'a'));
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, Errc::resource_exhausted);
}

TEST(Tokenizer, EncodesFromManyThreadsAtOnce) {
  const std::string text = "The quick brown fox <think> jumps 123456 times.\n\n中文 ok";
  const Ids expected = deepseek_tokenizer().encode(text).value();
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (std::size_t t = 0; t < equal.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i)
        equal[t] += deepseek_tokenizer().encode(text).value() == expected;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(equal, (std::vector<int>{50, 50, 50, 50}));
}

TEST(Detokenizer, AddsNothingForIdsWithoutAToken) {
  const Tokenizer tokenizer = small();
  Detokenizer detokenizer(tokenizer);
  for (const std::int32_t id : {-1, 259, 299, 302, 1 << 30}) EXPECT_EQ(detokenizer.push(id), "");
  EXPECT_EQ(detokenizer.push('a'), "a");
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Detokenizer, StartsAfreshAfterFinish) {
  const Tokenizer tokenizer = small();
  Detokenizer detokenizer(tokenizer);
  EXPECT_EQ(detokenizer.push(0xe4), "");
  EXPECT_EQ(detokenizer.finish(), "\xef\xbf\xbd");
  EXPECT_EQ(detokenizer.push('a'), "a");
}

TEST(Detokenizer, SpellsAddedTokensOutsideTheByteAlphabetAsTheyAre) {
  auto json = small_tokenizer();
  json["added_tokens"].push_back({{"id", 302}, {"content", "<｜é｜>"}, {"special", false}});
  const Tokenizer tokenizer = Tokenizer::parse(json.dump()).value();
  EXPECT_EQ(tokenizer.decode(Ids{302}), "<｜é｜>");
}

}  // namespace
}  // namespace troupe::model
