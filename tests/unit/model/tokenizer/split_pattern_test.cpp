// Patterns keep their meaning on the way from Oniguruma to PCRE2, or are refused by name.
#include "model/tokenizer/split_pattern.hpp"

#include <gtest/gtest.h>

#include "model/tokenizer/pre_tokenizer.hpp"

namespace troupe::model {
namespace {

std::vector<std::string> pieces(const std::string& pattern, std::string_view text) {
  const auto translated = translate_split_pattern(pattern);
  const auto cutter = PreTokenizer::build({{translated.value()}, false, false});
  std::vector<std::string> out;
  const auto done =
      cutter.value().split(text, [&](std::string_view piece) { out.emplace_back(piece); });
  EXPECT_TRUE(done);
  return out;
}

using Pieces = std::vector<std::string>;

TEST(SplitPattern, TakesWhiteSpaceFromUnicodesList) {
  for (const char* space : {"\t", "\n", "\v", "\f", "\r", " ", "\u0085", "\u00a0", "\u1680",
                            "\u2000", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"}) {
    for (const char* pattern : {"\\s", "[\\s]", "[^\\S]"}) {
      EXPECT_EQ(pieces(pattern, "a" + std::string(space) + "b"), (Pieces{"a", space, "b"}))
          << pattern;
    }
    for (const char* pattern : {"\\S+", "[\\S]+", "[^\\s]+"}) {
      EXPECT_EQ(pieces(pattern, "a" + std::string(space) + "b"), (Pieces{"a", space, "b"}));
    }
  }
  for (const char* other : {"\u180e", "\u200b", "\ufeff", "\u001c", "\u0084", "\u2060"}) {
    const std::string text = "a" + std::string(other);
    EXPECT_EQ(pieces("\\s", text), (Pieces{text}));
    EXPECT_EQ(pieces("\\S+", text), (Pieces{text}));
    EXPECT_EQ(pieces("[\\S]+", text), (Pieces{text}));
  }
}

TEST(SplitPattern, KeepsWhatBothEnginesReadAlike) {
  for (const char* pattern :
       {"\\p{N}{1,3}", "[^\\r\\n\\p{L}\\p{P}]?[\\p{L}\\p{M}]+", "(?i:'s|'t)", "(?<=a)b(?!c)",
        "a++|b*?", "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+", "x{2,}", "\\x{4e00}"}) {
    EXPECT_EQ(translate_split_pattern(pattern).value(), pattern);
  }
  EXPECT_EQ(translate_split_pattern("\\u4E00\\x41\\v").value(), "\\x{4E00}\\x{41}\\x{b}");
}

TEST(SplitPattern, RefusesByNameWhatTheEnginesReadDifferently) {
  for (const auto& [pattern, named] :
       std::vector<std::pair<std::string, std::string>>{{"a\\w", "\\w at byte 1"},
                                                        {"\\b", "\\b"},
                                                        {"\\h", "\\h"},
                                                        {"\\R", "\\R"},
                                                        {"\\1", "\\1"},
                                                        {"^a", "^ at byte 0"},
                                                        {"a$", "$ at byte 1"},
                                                        {"[a[b]]", "[ at"},
                                                        {"[[:alpha:]]", "["},
                                                        {"[a&&b]", "&&"},
                                                        {"[]a]", "]"},
                                                        {"(?<n>a)", "(?<"},
                                                        {"(?P<n>a)", "(?P"},
                                                        {"(*FAIL)", "(*F"},
                                                        {"(?#x)", "(?#"},
                                                        {"(?R)", "(?R"},
                                                        {"a{,3}", "{,"},
                                                        {"a{x}", "{x"},
                                                        {"a{2}+", "{2}+"},
                                                        {"a{2}?", "{2}?"},
                                                        {"\\xff", "\\xff"},
                                                        {"\\x{}", "\\x{"},
                                                        {"\\u12", "\\u12"},
                                                        {"\\p{a b}", "\\p{a b}"},
                                                        {"\\pL", "\\p"},
                                                        {"[+-\\s]", "\\s"},
                                                        {"[\\s-a]", "-"},
                                                        {"a{2-", "{2-"},
                                                        {"\\\u00e9", "\\"}}) {
    const auto translated = translate_split_pattern(pattern);
    ASSERT_FALSE(translated) << pattern;
    EXPECT_EQ(translated.error().code, Errc::unsupported) << pattern;
    EXPECT_EQ(translated.error().detail.rfind(named, 0), 0u) << translated.error().detail;
  }
}

TEST(SplitPattern, SaysWhatThePatternEndsIn) {
  for (const char* pattern : {"[a", "[a\\", "\\", "a{2", "\\p{L"}) {
    const auto translated = translate_split_pattern(pattern);
    ASSERT_FALSE(translated) << pattern;
    EXPECT_EQ(translated.error().code, Errc::malformed) << pattern;
  }
}

TEST(SplitPattern, TakesLiteralsLiterally) {
  const std::string text = "a.b*[c]\\^$(|)?+{é";
  const auto cutter = PreTokenizer::build({{literal_split_pattern(text)}, false, false});
  Pieces out;
  EXPECT_TRUE(cutter.value().split("x" + text + "y",
                                   [&](std::string_view piece) { out.emplace_back(piece); }));
  EXPECT_EQ(out, (Pieces{"x", text, "y"}));
}

}  // namespace
}  // namespace troupe::model
