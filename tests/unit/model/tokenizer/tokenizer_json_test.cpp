// Every way in which a tokenizer.json can be wrong or unsupported is refused with its place.
#include "model/tokenizer/tokenizer_json.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "model/tokenizer/tokenizer.hpp"
#include "tests/unit/model/tokenizer/small_tokenizer.hpp"

namespace troupe::model {
namespace {

using Json = nlohmann::json;

/// Applies a JSON patch to the small tokenizer and expects its refusal.
void expect_refusal(const std::string& patch, Errc code, const std::string& detail) {
  const auto tokenizer = Tokenizer::parse(small_tokenizer().patch(Json::parse(patch)).dump());
  ASSERT_FALSE(tokenizer) << patch;
  EXPECT_EQ(tokenizer.error().code, code) << patch << "\n" << tokenizer.error().detail;
  EXPECT_NE(tokenizer.error().detail.find(detail), std::string::npos) << patch << "\n"
                                                                      << tokenizer.error().detail;
  EXPECT_EQ(tokenizer.error().detail.rfind("tokenizer.json: ", 0), 0u);
}

std::string set(const std::string& path, const std::string& value) {
  return R"([{"op": "add", "path": ")" + path + R"(", "value": )" + value + "}]";
}

TEST(TokenizerJson, NamesTheBrokenMerge) {
  const auto refuse = [](const std::string& merge, const std::string& detail) {
    expect_refusal(set("/model/merges/1", merge), Errc::malformed, detail);
  };
  refuse(R"(["a", "zz"])", R"(model.merges[1] joins "zz", which is not in model.vocab)");
  refuse(R"("qq a")", R"(model.merges[1] joins "qq", which is not in model.vocab)");
  refuse(R"(["a", "z"])", R"(model.merges[1] makes "az", which is not in model.vocab)");
  for (const char* form :
       {R"("a")", R"("a b c")", R"(" b")", R"("")", R"(["a"])", R"(["a", "b", "c"])", R"(["a", 1])",
        R"([["a"], "b"])", "3", "null", R"({"a": "b"})", "[]", R"(["", "a"])"}) {
    refuse(form, "model.merges[1] is neither");
  }
}

TEST(TokenizerJson, NamesWhatIsWrongInTheVocabulary) {
  expect_refusal(set("/model/vocab/ab", "5"), Errc::malformed, "has id 5, which token");
  expect_refusal(set("/model/vocab/ab", "-1"), Errc::out_of_range, "\"ab\" has id -1");
  expect_refusal(set("/model/vocab/ab", "18446744073709551615"), Errc::out_of_range, "\"ab\"");
  expect_refusal(set("/model/vocab/ab", "1048576"), Errc::out_of_range, "0..1048575");
  expect_refusal(set("/model/vocab/ab", "1.5"), Errc::malformed, "model.vocab[\"ab\"] is number");
  expect_refusal(set("/model/vocab/ab", "\"7\""), Errc::malformed, "model.vocab[\"ab\"] is string");
  expect_refusal(set("/model/vocab/ab", "{}"), Errc::malformed, "model.vocab[\"ab\"] is an object");
  expect_refusal(set("/model/vocab/ab", "[]"), Errc::malformed, "model.vocab[\"ab\"] is an array");
  expect_refusal(set("/model/vocab", "[]"), Errc::malformed, "model.vocab is missing");
  expect_refusal(set("/model/merges", "{}"), Errc::malformed, "model.merges is missing");
  expect_refusal(R"([{"op": "remove", "path": "/model/vocab/Ġ"}])", Errc::malformed,
                 "no token \"Ġ\" for byte 0x20");
}

TEST(TokenizerJson, NamesTheTokenThatAppearsTwice) {
  std::string json = small_tokenizer().dump();
  json.replace(json.find("\"ab\":256"), 8, "\"ab\":256,\"ab\":259");
  const auto tokenizer = Tokenizer::parse(json);
  ASSERT_FALSE(tokenizer);
  EXPECT_NE(tokenizer.error().detail.find("\"ab\" appears twice, with ids 256 and 259"),
            std::string::npos)
      << tokenizer.error().detail;
}

TEST(TokenizerJson, NamesWhatIsWrongWithAnAddedToken) {
  const auto refuse = [](const std::string& token, Errc code, const std::string& detail) {
    expect_refusal(set("/added_tokens/1", token), code, detail);
  };
  refuse(R"({"id": 302})", Errc::malformed, "added_tokens[1] has no content");
  refuse(R"({"id": 302, "content": ""})", Errc::malformed, "added_tokens[1] has no content");
  refuse(R"({"id": "x", "content": "q"})", Errc::malformed, "added_tokens[1].id");
  refuse(R"({"id": 4294967296, "content": "q"})", Errc::malformed, "added_tokens[1].id");
  refuse(R"({"id": 300, "content": "qq"})", Errc::malformed, "has id 300");
  refuse(R"({"id": 302, "content": "<s>"})", Errc::malformed, "\"<s>\" appears twice");
  refuse(R"({"id": 256, "content": "qq"})", Errc::malformed, "in model.vocab that id is \"ab\"");
  refuse(R"({"id": 302, "content": "ab"})", Errc::malformed, "has id 256 in model.vocab");
  refuse(R"({"id": 302, "content": "q", "special": 1})", Errc::malformed,
         "added_tokens[1].special");
  for (const std::string key : {"single_word", "lstrip", "rstrip"}) {
    refuse(R"({"id": 302, "content": "q", ")" + key + R"(": true})", Errc::unsupported,
           "added_tokens[1]." + key);
  }
  expect_refusal(set("/added_tokens", "3"), Errc::malformed, "added_tokens");
}

TEST(TokenizerJson, LetsAnAddedTokenRepeatTheVocabulary) {
  const auto json = small_tokenizer().patch(
      Json::parse(set("/added_tokens/1", R"({"id": 256, "content": "ab", "special": true})")));
  const auto tokenizer = Tokenizer::parse(json.dump());
  ASSERT_TRUE(tokenizer) << tokenizer.error().detail;
  EXPECT_TRUE(tokenizer->is_special(256));
}

TEST(TokenizerJson, NamesTheUnsupportedPart) {
  const auto refuse = [](const std::string& path, const std::string& value,
                         const std::string& detail) {
    expect_refusal(set(path, value), Errc::unsupported, detail);
  };
  refuse("/model/type", R"("WordPiece")", "model.type \"WordPiece\"");
  refuse("/model/dropout", "0.1", "model.dropout");
  refuse("/model/byte_fallback", "true", "model.byte_fallback");
  refuse("/model/continuing_subword_prefix", R"("##")", "model.continuing_subword_prefix");
  refuse("/model/end_of_word_suffix", R"("</w>")", "model.end_of_word_suffix");
  refuse("/normalizer", R"({"type": "NFC"})", "normalizer \"NFC\"");
  refuse("/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFKC"}]})", "\"NFKC\"");
  refuse("/decoder", "null", "decoder");
  refuse("/decoder", R"({"type": "Metaspace"})", "decoder \"Metaspace\"");
  refuse("/pre_tokenizer", "null", "pre_tokenizer");
  refuse("/pre_tokenizer", R"({"type": "Metaspace"})", "pre_tokenizer \"Metaspace\"");
  refuse("/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": []})", "ByteLevel");
  const std::string first = "/pre_tokenizer/pretokenizers/0";
  refuse(first, R"({"type": "Digits"})", "pretokenizers[0] \"Digits\"");
  refuse(first, R"({"type": "ByteLevel"})", "pretokenizers[1] \"Split\" after ByteLevel");
  refuse(first + "/behavior", R"("Removed")", "pretokenizers[0].behavior \"Removed\"");
  refuse(first + "/invert", "true", "pretokenizers[0].invert");
  refuse(first + "/pattern", R"({"Regex": "\\w+"})", "\\w at byte 0");
  refuse(first + "/pattern", R"({"Regex": "(a"})", "PCRE2 says");
}

TEST(TokenizerJson, NamesThePlaceOfMalformedParts) {
  expect_refusal(set("/model", "7"), Errc::malformed, "model is missing or no object");
  expect_refusal(set("/model/ignore_merges", "7"), Errc::malformed, "model.ignore_merges");
  const std::string first = "/pre_tokenizer/pretokenizers/0";
  expect_refusal(set(first + "/pattern", "7"), Errc::malformed, "pretokenizers[0].pattern");
  expect_refusal(set(first + "/invert", "7"), Errc::malformed, "pretokenizers[0].invert");
  expect_refusal(set("/pre_tokenizer/pretokenizers", "7"), Errc::malformed, "is no array");
  expect_refusal(set("/pre_tokenizer/pretokenizers/1/use_regex", "7"), Errc::malformed,
                 "pretokenizers[1].use_regex");
}

TEST(TokenizerJson, SaysWhereTheFileIsNotJson) {
  for (const auto& [text, detail] : std::vector<std::pair<std::string, std::string>>{
           {"", "not JSON at byte 1"},
           {"{\"a\": }", "not JSON at byte 7"},
           {"{\"a\": \"\xff\"}", "not JSON at byte 8"},
           {"[]", "no JSON object"},
           {R"({"a": 1, "a": 2})", "key \"a\" appears twice"},
           {std::string(1000, '['), "nested too deeply"},
           {R"({"model": {"vocab": {}, "vocab": {}}})", "model.vocab twice"},
           {R"({"model": {"merges": [], "merges": []}})", "model.merges twice"}}) {
    const auto tokenizer = Tokenizer::parse(text);
    ASSERT_FALSE(tokenizer) << text;
    EXPECT_EQ(tokenizer.error().code, Errc::malformed);
    EXPECT_NE(tokenizer.error().detail.find(detail), std::string::npos) << tokenizer.error().detail;
  }
}

/// A directory of this test, removed at its end.
class TokenizerDirectory : public testing::Test {
 protected:
  TokenizerDirectory()
      : dir_(testing::TempDir() + "troupe_" +
             testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  ~TokenizerDirectory() override { std::filesystem::remove_all(dir_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }
  std::filesystem::path dir_;
};

TEST_F(TokenizerDirectory, WithTiktokenAloneIsRefusedWithThatReason) {
  write("tiktoken.model", "IQ== 0\n");
  const auto tokenizer = Tokenizer::load(dir_);
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code, Errc::unsupported);
  EXPECT_NE(tokenizer.error().detail.find("tiktoken.model but no tokenizer.json"),
            std::string::npos);
}

TEST_F(TokenizerDirectory, WithoutTokenizerIsNotFound) {
  const auto tokenizer = Tokenizer::load(dir_);
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code, Errc::not_found);
  EXPECT_NE(tokenizer.error().detail.find("tokenizer.json"), std::string::npos);
}

TEST_F(TokenizerDirectory, NamesItsFileInErrors) {
  write("tokenizer.json", "{}");
  const auto tokenizer = Tokenizer::load(dir_);
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().detail.rfind(dir_.string() + "/tokenizer.json: ", 0), 0u);
}

TEST_F(TokenizerDirectory, NeedsNoConfiguration) {
  write("tokenizer.json", small_tokenizer().dump());
  const auto tokenizer = Tokenizer::load(dir_);
  ASSERT_TRUE(tokenizer) << tokenizer.error().detail;
  EXPECT_TRUE(tokenizer->config().add_bos_token);
  EXPECT_EQ(tokenizer->bos_id(), std::nullopt);
}

TEST_F(TokenizerDirectory, ResolvesBosAndEosByContent) {
  write("tokenizer.json", small_tokenizer().dump());
  write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": {"content": "<t>"}})");
  EXPECT_EQ(Tokenizer::load(dir_).value().bos_id(), 300);
  EXPECT_EQ(Tokenizer::load(dir_).value().eos_id(), 301);
  write("tokenizer_config.json", R"({"bos_token": "<nope>"})");
  const auto tokenizer = Tokenizer::load(dir_);
  ASSERT_FALSE(tokenizer);
  EXPECT_NE(tokenizer.error().detail.find("bos_token \"<nope>\""), std::string::npos);
}

TEST_F(TokenizerDirectory, PrefersTheTemplateFile) {
  write("tokenizer_config.json", R"({"chat_template": "from config"})");
  EXPECT_EQ(TokenizerConfig::load(dir_).value().chat_template, "from config");
  EXPECT_EQ(TokenizerConfig::load(dir_).value().chat_template_file, "tokenizer_config.json");
  write("chat_template.jinja", "from file");
  EXPECT_EQ(TokenizerConfig::load(dir_).value().chat_template, "from file");
  EXPECT_EQ(TokenizerConfig::load(dir_).value().chat_template_file, "chat_template.jinja");
  write("chat_template.jinja", "\xff");
  EXPECT_EQ(TokenizerConfig::load(dir_).error().code, Errc::malformed);
}

TEST(TokenizerConfig, ReadsNamedTemplatesAndTokenObjects) {
  const auto config = TokenizerConfig::parse(
      R"({"add_bos_token": false, "bos_token": {"content": "<s>"}, "eos_token": null,
          "chat_template": [{"name": "tool_use", "template": "T"},
                            {"name": "default", "template": "D"}]})");
  ASSERT_TRUE(config);
  EXPECT_FALSE(config->add_bos_token);
  EXPECT_EQ(config->bos_token, "<s>");
  EXPECT_EQ(config->eos_token, std::nullopt);
  EXPECT_EQ(config->chat_template, "D");
  EXPECT_TRUE(TokenizerConfig::parse("{}").value().add_bos_token);
}

TEST(TokenizerConfig, NamesTheBadKey) {
  for (const auto& [json, key] : std::vector<std::pair<std::string, std::string>>{
           {"[]", "not a JSON object"},
           {"{", "not JSON at byte 2"},
           {R"({"add_bos_token": 1})", "add_bos_token"},
           {R"({"bos_token": 1})", "bos_token"},
           {R"({"eos_token": {}})", "eos_token"},
           {R"({"chat_template": 1})", "chat_template"},
           {R"({"chat_template": [{"name": "default"}]})", "chat_template[0]"}}) {
    const auto config = TokenizerConfig::parse(json);
    ASSERT_FALSE(config) << json;
    EXPECT_EQ(config.error().code, Errc::malformed);
    EXPECT_NE(config.error().detail.find(key), std::string::npos) << config.error().detail;
  }
}

}  // namespace
}  // namespace troupe::model
