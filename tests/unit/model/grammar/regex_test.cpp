// Patterns: each construct that is taken, and the name and place of each that is not.
#include <gtest/gtest.h>

#include "tests/unit/model/grammar/small_table.hpp"

namespace troupe::model {
namespace {

struct Case {
  std::string pattern;
  std::vector<std::string> fit;
  std::vector<std::string> misfit;
};

TEST(Regex, EachConstructMeansWhatItSays) {
  const std::vector<Case> cases{
      {"abc", {"abc"}, {"", "ab", "abcd", "xabc"}},
      {"", {""}, {"a"}},
      {"a?b", {"b", "ab"}, {"a", "aab"}},
      {"a*", {"", "a", "aaaa"}, {"b", "ab"}},
      {"a+", {"a", "aaa"}, {"", "b"}},
      {"a{3}", {"aaa"}, {"aa", "aaaa"}},
      {"a{0}b", {"b"}, {"ab"}},
      {"a{2,}", {"aa", "aaaaa"}, {"a"}},
      {"(ab){1,2}", {"ab", "abab"}, {"", "ababab", "aba"}},
      {"a|bc|", {"a", "bc", ""}, {"ab", "b"}},
      {"(?:a|b)c", {"ac", "bc"}, {"a", "abc"}},
      {"[a-cx]", {"a", "b", "c", "x"}, {"d", "", "ab"}},
      {"[^a-c]", {"d", "é", "\n", "😀"}, {"a", "b"}},
      {"[a\\-z]", {"a", "-", "z"}, {"b"}},
      {"[a-]", {"a", "-"}, {"b"}},
      {"[\\]\\\\^]", {"]", "\\", "^"}, {"["}},
      {"[\\w.]+", {"aZ_9.", "_"}, {"-", "é"}},
      {"\\d\\D", {"1a", "0é"}, {"11", "a1"}},
      {"\\s\\S", {" a", "\t.", "\na"}, {"a ", "  "}},
      {"\\w\\W", {"a-", "_ "}, {"ab", "--"}},
      {".", {"a", "é", "中", "😀", "\t"}, {"\n", "\r", "", "ab", "\u2028"}},
      {"\\x41\\u00e9\\u{1F600}\\ud83d\\ude00", {"Aé😀😀"}, {"A"}},
      {"\\n\\r\\t\\f\\v\\0", {std::string("\n\r\t\f\v\0", 6)}, {"n"}},
      {"\\.\\*\\/\\(\\{", {".*/({"}, {"a*/({"}},
      {"中文+", {"中文", "中文文"}, {"中"}},
      {"[一-龥]{2}", {"中文"}, {"中", "ab"}},
      {"[ā-ž߿-ࠀ]", {"ā", "ž", "߿", "ࠀ"}, {"Ā", "ƀ", "ࠁ", "߾"}},
      {"[\U0000fffe-\U00010001]", {"\U0000ffff", "\U00010000"}, {"\U00010002", "\U0000fffd"}},
      {"^ab$", {"ab"}, {"^ab$"}},
      {"^(a|b)$|^c$", {"a", "b", "c"}, {"d"}},
      {"(^a$|^b$)", {"a", "b"}, {"ab"}},
      {"a*?b+?c??", {"aabb", "bc"}, {"a"}},
      {"((a|b)*c){2}", {"cc", "abcbac"}, {"c", "abc"}},
      {"x]y}", {"x]y}"}, {"xy"}},
  };
  for (const Case& one : cases) {
    const auto grammar = compile_regex(one.pattern);
    ASSERT_TRUE(grammar.has_value()) << one.pattern << ": " << grammar.error().detail;
    for (const auto& text : one.fit)
      EXPECT_TRUE(fits(*grammar, text)) << one.pattern << " " << text;
    for (const auto& text : one.misfit)
      EXPECT_FALSE(fits(*grammar, text)) << one.pattern << " " << text;
  }
}

TEST(Regex, BrokenUtf8IsNeverWritten) {
  const auto grammar = compile_regex("[^x]*").value();
  for (const char* bytes : {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf5",
                            "\xf4\x90\x80\x80", "\xf0\x8f\xbf\xbf"}) {
    EXPECT_FALSE(fits(grammar, bytes)) << bytes;
  }
  for (const char* text : {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(fits(grammar, text)) << text;
  }
}

struct Refusal {
  std::string pattern;
  Errc code;
  std::string detail;
};

TEST(Regex, WhatIsNotTakenIsNamedWithItsPlace) {
  const std::vector<Refusal> refusals{
      {"ab(?=c)", Errc::unsupported, "pattern, byte 2: look-ahead is not supported"},
      {"(?!c)", Errc::unsupported, "byte 0: negative look-ahead"},
      {"(?<=c)d", Errc::unsupported, "byte 0: look-behind"},
      {"(?<!c)d", Errc::unsupported, "byte 0: negative look-behind"},
      {"(?>a)", Errc::unsupported, "byte 0: an atomic group"},
      {"é(?<n>a)", Errc::unsupported, "byte 2: a named group"},
      {"(?P<n>a)", Errc::unsupported, "byte 0: a named group"},
      {"(?i)a", Errc::unsupported, "byte 0: an inline flag"},
      {"(?R)", Errc::unsupported, "byte 0: recursion"},
      {"(?#c)", Errc::unsupported, "byte 0: a comment"},
      {"(*FAIL)", Errc::unsupported, "byte 0: a verb"},
      {"(a)\\1", Errc::unsupported, "byte 3: a back-reference"},
      {"\\k<n>", Errc::unsupported, "byte 0: a back-reference"},
      {"a\\b", Errc::unsupported, "byte 1: a word boundary"},
      {"\\p{L}", Errc::unsupported, "byte 0: a Unicode property"},
      {"\\01", Errc::unsupported, "byte 0: an octal escape"},
      {"\\q", Errc::unsupported, "byte 0: the escape \\q"},
      {"a*+", Errc::unsupported, "byte 2: a possessive quantifier"},
      {"a^b", Errc::unsupported, "byte 1: an anchor inside the pattern"},
      {"(a$)b", Errc::unsupported, "byte 2: an anchor inside the pattern"},
      {"^*a", Errc::unsupported, "byte 1: a repeated anchor"},
      {"[[:alpha:]]", Errc::unsupported, "byte 1: a POSIX class"},
      {"[a&&b]", Errc::unsupported, "byte 2: arithmetic of classes"},
      {"(a", Errc::malformed, "byte 0: ( without )"},
      {"a)", Errc::malformed, "byte 1: unmatched )"},
      {"[a", Errc::malformed, "byte 0: [ without ]"},
      {"[]a]", Errc::malformed, "byte 0: an empty class"},
      {"[^]a]", Errc::malformed, "byte 0: an empty class"},
      {"[z-a]", Errc::malformed, "byte 1: a range whose ends are in the wrong order"},
      {"[\\w-z]", Errc::malformed, "byte 1: a range needs a single character"},
      {"*a", Errc::malformed, "byte 0: nothing to repeat"},
      {"a**", Errc::malformed, "byte 2: a quantifier after a quantifier"},
      {"{2}", Errc::malformed, "byte 0: { repeats nothing"},
      {"a{,2}", Errc::malformed, "byte 1: { without a count"},
      {"a{2", Errc::malformed, "byte 1: { without }"},
      {"a{2,x}", Errc::malformed, "byte 1: a count is expected after the comma"},
      {"a{3,2}", Errc::malformed, "byte 1: the lower count is above the upper one"},
      {"a\\", Errc::malformed, "byte 1: a pattern cannot end with \\"},
      {"\\x4", Errc::malformed, "byte 0: 2 hexadecimal digits are expected"},
      {"\\ud800", Errc::malformed, "byte 0: half of a surrogate pair"},
      {"\\u{110000}", Errc::malformed, "byte 0: \\u{...} names no character"},
      {"a\xff", Errc::malformed, "byte 1: not UTF-8"},
      {"a{10001}", Errc::resource_exhausted, "byte 1: repeated more than 10000 times"},
      {"a{99999999999}", Errc::resource_exhausted, "byte 1: repeated more than 10000 times"},
      {std::string(200, '(') + std::string(200, ')'), Errc::resource_exhausted,
       "groups nested deeper than 96"},
      {"(a{1000}){1000}", Errc::resource_exhausted, "states before reduction"},
      {"(.{0,200}x.{0,200}y){20}", Errc::resource_exhausted, "the grammar"},
      {std::string(300'000, 'a'), Errc::resource_exhausted, "the limit is 262144"},
  };
  for (const Refusal& one : refusals) {
    const auto grammar = compile_regex(one.pattern);
    ASSERT_FALSE(grammar.has_value()) << one.pattern.substr(0, 80);
    EXPECT_EQ(grammar.error().code, one.code) << one.pattern.substr(0, 80);
    EXPECT_NE(grammar.error().detail.find(one.detail), std::string::npos)
        << one.pattern.substr(0, 80) << ": " << grammar.error().detail;
  }
}

}  // namespace
}  // namespace troupe::model
