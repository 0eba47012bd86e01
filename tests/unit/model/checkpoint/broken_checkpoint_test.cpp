// Each way in which a checkpoint directory can be broken is told with the tensor and file it is in.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "model/checkpoint/checkpoint.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

using testing::StoredTensor;
using testing::TempDir;
using testing::TinyCheckpoint;

const std::string kQa = "model.layers.0.self_attn.q_a_proj.weight";
const std::string kScale = kQa + "_scale_inv";
const std::string kBias = "model.layers.1.mlp.gate.e_score_correction_bias";
const std::string kNorm = "model.norm.weight";

void expect_words(const Error& error, Errc code, const std::vector<std::string>& words) {
  EXPECT_EQ(error.code, code) << error.detail;
  for (const std::string& word : words)
    EXPECT_NE(error.detail.find(word), std::string::npos) << word << " not in: " << error.detail;
}

/// Opening a checkpoint that `damage` changed before it was written, then `after` on disk, fails.
void expect_refused(
    const std::function<void(TinyCheckpoint&)>& damage, Errc code,
    const std::vector<std::string>& words,
    const std::function<void(const TempDir&)>& after = [](const TempDir&) {}) {
  TempDir dir;
  TinyCheckpoint tiny;
  damage(tiny);
  tiny.write(dir.path());
  after(dir);
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_FALSE(checkpoint) << "accepted, expected: " << words.front();
  expect_words(checkpoint.error(), code, words);
}

TEST(BrokenCheckpoint, PathMissingOrAFile) {
  TempDir dir;
  expect_words(Checkpoint::open(dir / "none").error(), Errc::not_found, {"none"});
  testing::write_bytes(dir / "file", "x");
  expect_words(Checkpoint::open(dir / "file").error(), Errc::invalid_argument, {"file"});
  expect_words(Checkpoint::open(dir.path()).error(), Errc::not_found, {"config.json"});
  testing::write_bytes(dir / "config.json", TinyCheckpoint().config.dump());
  expect_words(Checkpoint::open(dir.path()).error(), Errc::not_found, {"model.safetensors"});
}

TEST(BrokenCheckpoint, UnsupportedConfigIsToldBeforeMissingWeights) {
  TempDir dir;
  auto config = TinyCheckpoint().config;
  config["model_type"] = "deepseek_v32";
  testing::write_bytes(dir / "config.json", config.dump());
  expect_words(Checkpoint::open(dir.path()).error(), Errc::unsupported, {"DeepSeek-V3.2"});
}

TEST(BrokenCheckpoint, TruncatedFile) {
  expect_refused([](TinyCheckpoint&) {}, Errc::truncated, {"model.safetensors", "truncated"},
                 [](const TempDir& dir) {
                   const auto file = dir / "model.safetensors";
                   std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
                 });
}

TEST(BrokenCheckpoint, MissingShardNamesFileAndTensor) {
  const auto split = [](TinyCheckpoint& tiny) { tiny.shard_of[kBias] = "bias.safetensors"; };
  expect_refused(split, Errc::not_found, {"bias.safetensors", kBias},
                 [](const TempDir& dir) { std::filesystem::remove(dir / "bias.safetensors"); });
}

TEST(BrokenCheckpoint, ShardLacksATensorOfTheIndex) {
  const auto split = [](TinyCheckpoint& tiny) { tiny.shard_of[kBias] = "bias.safetensors"; };
  expect_refused(split, Errc::malformed, {"bias.safetensors", kBias}, [](const TempDir& dir) {
    testing::write_bytes(dir / "bias.safetensors",
                         testing::safetensors_bytes({{"other", {"U8", {1}, "x"}}}));
  });
}

TEST(BrokenCheckpoint, ShardNamesWithPaths) {
  for (const char* name : {"../x.safetensors", "/etc/passwd", "..", "", "a\\b"})
    expect_refused([](TinyCheckpoint&) {}, Errc::malformed, {"index.json", kBias},
                   [&](const TempDir& dir) {
                     testing::write_bytes(dir / "model.safetensors.index.json",
                                          nlohmann::json{{"weight_map", {{kBias, name}}}}.dump());
                   });
}

TEST(BrokenCheckpoint, IndexThatIsNoIndex) {
  for (const char* text : {"{}", "[]", "{\"weight_map\":{}}", "{\"weight_map\":{\"a\":1}}", "{"})
    expect_refused([](TinyCheckpoint&) {}, Errc::malformed, {"model.safetensors.index.json"},
                   [&](const TempDir& dir) {
                     testing::write_bytes(dir / "model.safetensors.index.json", text);
                   });
}

TEST(BrokenCheckpoint, MissingTensors) {
  const auto without = [](const std::string& name) {
    return [name](TinyCheckpoint& tiny) { tiny.tensors.erase(name); };
  };
  expect_refused(without("lm_head.weight"), Errc::not_found, {"lm_head.weight is missing"});
  expect_refused(without(kScale), Errc::not_found, {kQa + " has dtype F8_E4M3", kScale});
  expect_refused(without(kBias), Errc::not_found, {kBias, "corrupt"});
  expect_refused(without("model.layers.1.mlp.experts.3.up_proj.weight"), Errc::not_found,
                 {"experts.3.up_proj.weight is missing"});
  expect_refused(without(kQa), Errc::not_found, {kQa, "q_lora_rank 136"});
  expect_refused([](TinyCheckpoint& tiny) { tiny.config["q_lora_rank"] = nullptr; },
                 Errc::not_found, {"q_proj.weight", "q_lora_rank null"});
}

TEST(BrokenCheckpoint, WrongShapes) {
  const auto shaped = [](const std::string& name, std::vector<std::int64_t> shape) {
    return [=](TinyCheckpoint& tiny) { tiny.tensors[name].shape = shape; };
  };
  expect_refused(shaped(kQa, {160, 136}), Errc::malformed, {kQa, "[160, 136]", "[136, 160]"});
  expect_refused(shaped(kScale, {4, 1}), Errc::malformed, {kScale, "[4, 1]", "[2, 2]"});
  expect_refused(shaped(kBias, {2, 2}), Errc::malformed, {kBias, "[2, 2]", "[4]"});
  expect_refused(shaped(kNorm, {160, 1}), Errc::malformed, {kNorm});
  expect_refused([](TinyCheckpoint& tiny) { tiny.config["vocab_size"] = 65; }, Errc::malformed,
                 {"model.embed_tokens.weight", "[64, 160]", "[65, 160]"});
  expect_refused(shaped("model.layers.2.eh_proj.weight", {320, 160}), Errc::malformed,
                 {"model.layers.2.eh_proj.weight"});
}

TEST(BrokenCheckpoint, ScaleGridByFloorInsteadOfCeil) {
  const auto floor = [](TinyCheckpoint& tiny) {
    tiny.tensors[kScale] = {"F32", {1, 1}, std::string(4, '\0')};
  };
  expect_refused(floor, Errc::malformed, {kScale, "[1, 1]", "[2, 2]"});
}

TEST(BrokenCheckpoint, Dtypes) {
  const auto typed = [](const std::string& name, StoredTensor tensor) {
    return [=](TinyCheckpoint& tiny) { tiny.tensors[name] = tensor; };
  };
  expect_refused(typed(kNorm, {"F9", {1}, "x"}), Errc::unsupported, {kNorm, "F9"});
  expect_refused(typed(kNorm, {"F16", {160}, std::string(320, 'x')}), Errc::unsupported,
                 {kNorm, "F16", "BF16"});
  expect_refused(typed(kQa, {"I8", {136, 160}, std::string(136 * 160, 'x')}), Errc::malformed,
                 {kQa, "I8", "quantization_config", "says fp8"});
  expect_refused(typed(kQa, {"U8", {136, 160}, std::string(136 * 160, 'x')}), Errc::unsupported,
                 {kQa, "U8"});
  expect_refused(typed("lm_head.weight", {"F8_E4M3", {64, 160}, std::string(64 * 160, 'x')}),
                 Errc::unsupported, {"lm_head.weight", "F8_E4M3"});
  expect_refused(typed(kQa, {"BF16", {136, 160}, std::string(2 * 136 * 160, 'x')}), Errc::malformed,
                 {kQa, "BF16", kScale});
  expect_refused([](TinyCheckpoint& tiny) { tiny.config.erase("quantization_config"); },
                 Errc::malformed, {"F8_E4M3", "quantization_config"});
}

TEST(BrokenCheckpoint, AttentionIndexerIsRefusedAsDsa) {
  const std::string name = "model.layers.0.self_attn.indexer.wk.weight";
  expect_refused(
      [&](TinyCheckpoint& tiny) {
        tiny.tensors[name] = {"U8", {1}, "x"};
      },
      Errc::unsupported, {name, "DSA"});
}

TEST(BrokenCheckpoint, NaNScalesAreRefusedWhenTheMatrixIsMade) {
  for (const float bad : {std::nanf(""), INFINITY}) {
    TempDir dir;
    TinyCheckpoint tiny;
    std::memcpy(tiny.tensors[kScale].bytes.data() + 8, &bad, sizeof bad);
    tiny.write(dir.path());
    const auto checkpoint = Checkpoint::open(dir.path());
    ASSERT_TRUE(checkpoint);
    const auto matrix = checkpoint->matrix(kQa, 136, 160);
    ASSERT_FALSE(matrix);
    expect_words(matrix.error(), Errc::malformed,
                 {"model.safetensors: ", kScale, "row 1, column 0", "download it again"});
  }
}

TEST(BrokenCheckpoint, NaNWeightsAndVectorsAreRefusedWhenTheyAreLoaded) {
  TempDir dir;
  TinyCheckpoint tiny;
  tiny.tensors[kQa].bytes[3 * 160 + 5] = '\x7f';
  const float nan = std::nanf("");
  std::memcpy(tiny.tensors[kBias].bytes.data() + 4, &nan, sizeof nan);
  tiny.write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint);
  const auto checked = check_codes(kQa, *checkpoint->matrix(kQa, 136, 160));
  expect_words(checked.error(), Errc::malformed, {kQa, "row 3, column 5", "download it again"});
  expect_words(checkpoint->vector(kBias, 4).error(), Errc::malformed,
               {"model.safetensors: ", kBias, "download it again"});
}

TEST(BrokenCheckpoint, AccessorsRefuseWhatIsNotThere) {
  TempDir dir;
  TinyCheckpoint().write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint);
  EXPECT_EQ(checkpoint->find("model.layers.0"), nullptr) << "names match exactly";
  EXPECT_EQ(checkpoint->matrix("nothing", 1, 1).error().code, Errc::not_found);
  EXPECT_EQ(checkpoint->matrix(kQa, 160, 136).error().code, Errc::malformed);
  EXPECT_EQ(checkpoint->vector(kNorm, 159).error().code, Errc::malformed);
  EXPECT_EQ(checkpoint->vector(kQa, 136).error().code, Errc::unsupported);
  EXPECT_EQ(checkpoint->require(kBias, {DType::bf16}, {4}).error().code, Errc::unsupported);
  EXPECT_TRUE(checkpoint->require(kBias, {DType::f32}, {4}));
}

}  // namespace
}  // namespace troupe::model
