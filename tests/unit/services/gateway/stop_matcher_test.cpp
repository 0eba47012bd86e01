// Stop strings: where they end a text, what is held back, whatever the parts.
#include "services/gateway/stop_matcher.hpp"

#include <gtest/gtest.h>

#include <random>

namespace troupe::services {
namespace {

struct Outcome {
  std::string text;
  std::optional<std::size_t> matched;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// The whole text in parts of `lengths`, repeated.
Outcome in_parts(const std::vector<std::string>& stops, std::string_view text,
                 std::vector<std::size_t> lengths) {
  StopMatcher matcher(stops);
  Outcome out;
  for (std::size_t i = 0; !text.empty(); ++i) {
    const std::size_t length = std::min(lengths[i % lengths.size()], text.size());
    matcher.push(text.substr(0, length), out.text);
    text.remove_prefix(length);
  }
  if (!matcher.matched()) matcher.finish(out.text);
  out.matched = matcher.matched();
  return out;
}

TEST(StopMatcher, PassesTextThroughWithoutStops) {
  StopMatcher matcher({});
  std::string out;
  matcher.push("abc", out);
  EXPECT_EQ(out, "abc");
}

TEST(StopMatcher, EndsBeforeTheStopString) {
  EXPECT_EQ(in_parts({"END"}, "text END more", {3}), (Outcome{"text ", 0}));
  EXPECT_EQ(in_parts({"x", "END"}, "END", {1}), (Outcome{"", 1}));
}

TEST(StopMatcher, HoldsBackWhatMayBecomeAStopString) {
  StopMatcher matcher({"END"});
  std::string out;
  matcher.push("an E", out);
  EXPECT_EQ(out, "an ");
  matcher.push("N", out);
  EXPECT_EQ(out, "an ");
  matcher.push("o", out);
  EXPECT_EQ(out, "an ENo");
}

TEST(StopMatcher, ReleasesWhatWasHeldAtTheEnd) {
  EXPECT_EQ(in_parts({"END"}, "the EN", {2}), (Outcome{"the EN", std::nullopt}));
}

TEST(StopMatcher, FindsAStopStringBehindAFalseStart) {
  EXPECT_EQ(in_parts({"aab"}, "aaab", {1}), (Outcome{"a", 0}));
  EXPECT_EQ(in_parts({"\n\n#"}, "a\n\n\n#", {1}), (Outcome{"a\n", 0}));
}

TEST(StopMatcher, TheOneThatEndsFirstWinsAndTheLongestOfThose) {
  EXPECT_EQ(in_parts({"abc", "b"}, "abc", {3}), (Outcome{"a", 1}));
  EXPECT_EQ(in_parts({"bc", "abc"}, "xabc", {4}), (Outcome{"x", 1}));
}

TEST(StopMatcher, SaysNothingBehindAMatch) {
  StopMatcher matcher({"."});
  std::string out;
  matcher.push("a.b", out);
  matcher.push("c", out);
  EXPECT_EQ(out, "a");
}

TEST(StopMatcher, GivesTheStopStringOutWhereItIsIncluded) {
  StopMatcher matcher({"END", "."}, true);
  std::string out;
  for (const char* part : {"a E", "N", "Dings."}) matcher.push(part, out);
  EXPECT_EQ(out, "a END");
  EXPECT_EQ(matcher.matched(), 0u);
}

TEST(StopMatcher, NeverCutsACharacter) {
  StopMatcher matcher({"…"});  // E2 80 A6
  std::string out;
  matcher.push("“", out);  // E2 80 9C
  EXPECT_EQ(out, "“");
}

TEST(StopMatcher, DoesNotDependOnHowTheTextIsCut) {
  std::mt19937 random(20);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> stops(1 + random() % 3);
    for (auto& stop : stops) {
      for (std::size_t n = 1 + random() % 4; n > 0; --n)
        stop += static_cast<char>('a' + random() % 2);
    }
    std::string text;
    for (int n = 0; n < 24; ++n) text += static_cast<char>('a' + random() % 3);
    const auto whole = in_parts(stops, text, {text.size()});
    EXPECT_EQ(in_parts(stops, text, {1}), whole) << "round " << round << " of seed 20";
    EXPECT_EQ(in_parts(stops, text, {1 + random() % 5, 1 + random() % 5}), whole)
        << "round " << round << " of seed 20";
  }
}

}  // namespace
}  // namespace troupe::services
