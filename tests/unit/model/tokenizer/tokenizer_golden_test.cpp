// The pinned DeepSeek tokenizer gives the ids and texts that Hugging Face `tokenizers` gives.
#include <gtest/gtest.h>

#include "model/tokenizer/detokenizer.hpp"
#include "tests/support/source_dir.hpp"
#include "tests/unit/model/tokenizer/golden_files.hpp"

namespace troupe::model {
namespace {

using Ids = std::vector<std::int32_t>;

TEST(DeepSeekTokenizer, KnowsItsSizeAndItsMarkers) {
  const Tokenizer& tokenizer = deepseek_tokenizer();
  EXPECT_EQ(tokenizer.size(), 128815);
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_EQ(tokenizer.id_of("<｜User｜>"), 128803);
  EXPECT_EQ(tokenizer.id_of("<think>"), 128798);
  EXPECT_EQ(tokenizer.text_of(128804), "<｜Assistant｜>");
  EXPECT_EQ(tokenizer.text_of(128815), std::nullopt);
  EXPECT_TRUE(tokenizer.is_special(128805));
  EXPECT_FALSE(tokenizer.is_special(128803));
  EXPECT_FALSE(tokenizer.config().add_bos_token);
  EXPECT_TRUE(tokenizer.config().chat_template);
}

TEST(DeepSeekTokenizer, EncodesEveryGoldenText) {
  const auto cases = golden_lines("cases.jsonl");
  ASSERT_GT(cases.size(), 700u);
  for (const auto& golden : cases) {
    const auto text = golden["text"].get<std::string>();
    const auto ids = deepseek_tokenizer().encode(text);
    ASSERT_TRUE(ids) << ids.error().detail;
    EXPECT_EQ(*ids, golden["ids"].get<Ids>()) << golden["id"] << " " << text.substr(0, 200);
    EXPECT_EQ(deepseek_tokenizer().decode(*ids), text);
    const auto plain = deepseek_tokenizer().encode(text, {.recognize_added_tokens = false});
    const auto& expected =
        golden[golden.contains("ids_no_added_tokens") ? "ids_no_added_tokens" : "ids"];
    EXPECT_EQ(plain.value(), expected.get<Ids>()) << golden["id"];
  }
}

TEST(DeepSeekTokenizer, StreamsEveryGoldenDecoding) {
  const auto cases = golden_lines("decode_cases.jsonl");
  ASSERT_GT(cases.size(), 50u);
  for (const auto& golden : cases) {
    const auto ids = golden["ids"].get<Ids>();
    Detokenizer detokenizer(deepseek_tokenizer());
    std::vector<std::string> deltas;
    for (const auto id : ids) deltas.push_back(detokenizer.push(id));
    EXPECT_EQ(deltas, golden["deltas"].get<std::vector<std::string>>()) << golden["id"];
    EXPECT_EQ(detokenizer.finish(), golden["tail"].get<std::string>()) << golden["id"];
    EXPECT_EQ(deepseek_tokenizer().decode(ids), golden["text"].get<std::string>());
    const auto& skipped =
        golden[golden.contains("text_skip_special") ? "text_skip_special" : "text"];
    EXPECT_EQ(deepseek_tokenizer().decode(ids, true), skipped.get<std::string>()) << golden["id"];
    Detokenizer skipping(deepseek_tokenizer(), /*skip_special=*/true);
    std::string text;
    for (const auto id : ids) text += skipping.push(id);
    EXPECT_EQ(text + skipping.finish(), skipped.get<std::string>()) << golden["id"];
  }
}

TEST(DeepSeekTokenizer, EncodesEveryRenderedChat) {
  const auto cases = golden_lines("chat_cases.jsonl");
  ASSERT_GT(cases.size(), 20u);
  for (const auto& golden : cases) {
    EXPECT_EQ(deepseek_tokenizer().encode(golden["rendered"].get<std::string>()).value(),
              golden["ids"].get<Ids>())
        << golden["id"];
  }
}

TEST(TroupeTinyTokenizer, LoadsAndRoundTrips) {
  const auto dir = std::filesystem::path(troupe::kSourceDir) / "examples/troupe-tiny";
  const auto tokenizer = Tokenizer::load(dir);
  ASSERT_TRUE(tokenizer) << tokenizer.error().detail;
  EXPECT_EQ(tokenizer->size(), 4096);
  EXPECT_EQ(tokenizer->bos_id(), 0);
  const std::string text = "<｜User｜>What is a lighthouse? 灯台 12345\n";
  const auto ids = tokenizer->encode(text);
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->front(), tokenizer->id_of("<｜User｜>"));
  EXPECT_EQ(tokenizer->decode(*ids), text);
}

}  // namespace
}  // namespace troupe::model
