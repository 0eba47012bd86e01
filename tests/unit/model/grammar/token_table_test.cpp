// The trie holds every text token once, in order, and of added tokens the markers of tool calls.
#include <gtest/gtest.h>

#include <algorithm>

#include "model/grammar/token_table.hpp"
#include "tests/unit/model/tokenizer/golden_files.hpp"
#include "tests/unit/model/tokenizer/small_tokenizer.hpp"

namespace troupe::model {
namespace {

// Spells every node's path and compares with the tokens that end there.
void check_trie(const TokenTable& table) {
  const auto nodes = table.nodes();
  std::string path;
  std::size_t seen = 0;
  for (std::size_t i = 1; i + 1 < nodes.size(); ++i) {
    path.resize(nodes[i].depth - 1);
    path += static_cast<char>(nodes[i].byte);
    ASSERT_GT(nodes[i].end, i);
    for (std::uint32_t t = 0; t < nodes[i].own_tokens; ++t, ++seen) {
      ASSERT_EQ(table.bytes_of(table.tokens()[nodes[i].first_token + t]), path);
    }
    for (std::size_t j = i + 1; j < std::min<std::size_t>(nodes[i].end, i + 50); ++j) {
      ASSERT_GT(nodes[j].depth, nodes[i].depth);
      ASSERT_TRUE(nodes[i].below >> TokenTable::byte_group(nodes[j].byte) & 1);
    }
    ASSERT_LE(nodes[nodes[i].end].depth, nodes[i].depth);
  }
  EXPECT_EQ(seen, table.tokens().size());
}

TEST(TokenTable, TheDeepSeekVocabularyIsAllThere) {
  const TokenTable table(deepseek_tokenizer());
  EXPECT_EQ(table.size(), 128815);
  // 128000 less BOS, EOS, padding and the 8 bytes that no text has, and the 5 markers.
  EXPECT_EQ(table.tokens().size(), 127994u);
  check_trie(table);
  for (int byte = 0; byte < TokenTable::kFirstMarkerByte; ++byte)
    EXPECT_TRUE(table.has_byte(static_cast<std::uint8_t>(byte)));
  for (const std::int32_t id : {0, 1, 2, 128798, 128799, 128803}) {
    EXPECT_TRUE(deepseek_tokenizer().is_added(id)) << id;
    EXPECT_TRUE(table.bytes_of(id).empty()) << id;
  }
  EXPECT_FALSE(deepseek_tokenizer().is_added(100));
}

TEST(TokenTable, MarkersOfCallsAreBytesThatNoTextHas) {
  const TokenTable table(deepseek_tokenizer());
  EXPECT_EQ(table.call_markers().size(), 5u);
  for (const Marker marker : {Marker::calls_begin, Marker::calls_end, Marker::call_begin,
                              Marker::call_end, Marker::separator}) {
    const std::int32_t id = *deepseek_tokenizer().id_of(text_of(marker));
    EXPECT_EQ(table.bytes_of(id), std::string(1, static_cast<char>(TokenTable::byte_of(marker))));
    EXPECT_EQ(std::count(table.call_markers().begin(), table.call_markers().end(), id), 1);
  }
  for (const Marker marker : {Marker::think_begin, Marker::think_end})
    EXPECT_FALSE(table.has_byte(TokenTable::byte_of(marker)));
  EXPECT_FALSE(table.has_byte(0xff)) << "the vocabulary's own";
}

TEST(TokenTable, EqualTextsShareANode) {
  const TokenTable table(std::vector<std::string>{"b", "", "ab", "b", "abc", "a"});
  check_trie(table);
  EXPECT_EQ(table.tokens().size(), 5u);
  EXPECT_EQ(table.bytes_of(4), "abc");
  EXPECT_EQ(table.bytes_of(-1), "");
  EXPECT_EQ(table.bytes_of(6), "");
  EXPECT_FALSE(table.has_byte('c'));
}

TEST(TokenTable, AnEmptyVocabularyHasATrieToo) {
  check_trie(TokenTable(std::vector<std::string>{}));
}

TEST(TokenTable, OtherAddedTokensAreLeftOut) {
  const auto tokenizer = Tokenizer::parse(small_tokenizer().dump()).value();
  const TokenTable table(tokenizer);
  EXPECT_EQ(table.tokens().size(), 251u);  // 259 less the 8 bytes that no text has
  EXPECT_TRUE(table.bytes_of(300).empty());
  EXPECT_TRUE(table.bytes_of(301).empty());
  EXPECT_EQ(table.bytes_of(258), " a");
}

TEST(TokenTable, GroupsPartTheBytes) {
  std::map<std::uint8_t, int> sizes;
  for (int byte = 0; byte < 256; ++byte)
    ++sizes[TokenTable::byte_group(static_cast<std::uint8_t>(byte))];
  EXPECT_EQ(sizes.size(), 39u);
  for (const char sign : std::string_view(" !\"#/:@[`{~")) {
    EXPECT_EQ(sizes[TokenTable::byte_group(static_cast<std::uint8_t>(sign))], 1) << sign;
  }
}

}  // namespace
}  // namespace troupe::model
