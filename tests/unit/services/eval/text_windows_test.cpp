// Where windows begin and end, which ids they score, and how tokenizers differ.
#include "services/eval/text_windows.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "model/checkpoint/files.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::services {
namespace {

using Ids = std::vector<std::int32_t>;

Ids counted(std::int32_t n) {
  Ids ids(static_cast<std::size_t>(n));
  std::iota(ids.begin(), ids.end(), 100);
  return ids;
}

TEST(TextWindows, BehindBosEveryIdIsScored) {
  const TextWindows windows(counted(7), {.length = 4, .bos = 1});
  ASSERT_EQ(windows.count(), 3u);
  EXPECT_EQ(windows.window(0), (Ids{1, 100, 101, 102}));
  EXPECT_EQ(windows.window(1), (Ids{1, 103, 104, 105}));
  EXPECT_EQ(windows.window(2), (Ids{1, 106}));
  EXPECT_EQ(windows.scored(), 7);
}

TEST(TextWindows, WithoutBosTheFirstOfEachIsNot) {
  const TextWindows windows(counted(8), {.length = 4});
  ASSERT_EQ(windows.count(), 2u);
  EXPECT_EQ(windows.window(1), (Ids{104, 105, 106, 107}));
  EXPECT_EQ(windows.scored(), 6);
}

TEST(TextWindows, ALastIdWithNothingBeforeItIsLeftOut) {
  const TextWindows windows(counted(9), {.length = 4});
  EXPECT_EQ(windows.count(), 2u);
  EXPECT_EQ(windows.scored(), 6);
}

TEST(TextWindows, OnlyTheFirstSoMany) {
  const TextWindows windows(counted(9), {.length = 4, .bos = 1, .windows_max = 2});
  EXPECT_EQ(windows.count(), 2u);
  EXPECT_EQ(windows.scored(), 6);
}

TEST(TextWindows, NothingToScoreIsNoWindow) {
  EXPECT_EQ(TextWindows({}, {.length = 4, .bos = 1}).count(), 0u);
  EXPECT_EQ(TextWindows({}, {.length = 4}).count(), 0u);
  EXPECT_EQ(TextWindows(counted(1), {.length = 4}).count(), 0u);
  EXPECT_EQ(TextWindows(counted(1), {.length = 4, .bos = 1}).count(), 1u);
}

model::Tokenizer tiny(std::string_view from = "", std::string_view to = "",
                      model::TokenizerConfig config = {}) {
  auto json = model::read_text_file(
      std::string(kSourceDir) + "/examples/troupe-tiny/tokenizer.json", 1 << 24);
  EXPECT_TRUE(json) << json.error().detail;
  if (!from.empty()) {
    const std::size_t at = json->find(from);
    EXPECT_NE(at, std::string::npos) << from;
    json->replace(at, from.size(), to);
  }
  auto tokenizer = model::Tokenizer::parse(*json, std::move(config));
  EXPECT_TRUE(tokenizer) << tokenizer.error().detail;
  return *std::move(tokenizer);
}

TEST(TokenizerDifference, EqualOnesHaveNone) {
  EXPECT_EQ(tokenizer_difference(tiny(), tiny()), std::nullopt);
}

TEST(TokenizerDifference, NamesTheFirstIdThatMeansSomethingElse) {
  const auto how = tokenizer_difference(tiny(), tiny("<｜User｜>", "<｜Human｜>"));
  ASSERT_TRUE(how);
  EXPECT_NE(how->find("<｜User｜>\" in one"), std::string::npos) << *how;
  EXPECT_NE(how->find("<｜Human｜>\" in the other"), std::string::npos) << *how;
}

TEST(TokenizerDifference, BosIsPartOfIt) {
  model::TokenizerConfig adds;
  adds.add_bos_token = !model::TokenizerConfig{}.add_bos_token;
  const auto how = tokenizer_difference(tiny(), tiny("", "", adds));
  ASSERT_TRUE(how);
  EXPECT_NE(how->find("begin of text"), std::string::npos) << *how;
}

}  // namespace
}  // namespace troupe::services
