// A checkpoint directory opens as the model it holds and gives exact weights, scales and vectors.
#include "model/checkpoint/checkpoint.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

#include "tests/support/source_dir.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

using testing::TempDir;
using testing::TinyCheckpoint;

constexpr const char* kQa = "model.layers.0.self_attn.q_a_proj.weight";
constexpr const char* kScale = "model.layers.0.self_attn.q_a_proj.weight_scale_inv";
constexpr const char* kBias = "model.layers.1.mlp.gate.e_score_correction_bias";

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(troupe::kSourceDir) / "tests/goldens" / name / "model";
}

class Goldens : public ::testing::TestWithParam<const char*> {};

TEST_P(Goldens, OpenAndEveryWeightHoldsNumbersOnly) {
  const auto checkpoint = Checkpoint::open(golden(GetParam()));
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  std::size_t used = 0;
  for (const TensorView& tensor : checkpoint->tensors()) {
    if (tensor.name.ends_with("_scale_inv")) continue;
    ++used;
    if (tensor.shape.size() == 1) {
      EXPECT_TRUE(checkpoint->vector(tensor.name, tensor.shape[0])) << tensor.name;
      continue;
    }
    const auto matrix = checkpoint->matrix(tensor.name, tensor.shape[0], tensor.shape[1]);
    ASSERT_TRUE(matrix) << matrix.error().detail;
    EXPECT_EQ(matrix->scales != nullptr, matrix->dtype == DType::f8_e4m3);
    EXPECT_TRUE(check_codes(tensor.name, *matrix)) << tensor.name;
  }
  EXPECT_GT(used, 50u);
  EXPECT_EQ(checkpoint->has_mtp(), checkpoint->config().mtp_layers == 1);
}

INSTANTIATE_TEST_SUITE_P(Presets, Goldens,
                         ::testing::Values("v3-mini", "v31-mini", "moonlight-mini", "kimi-mini",
                                           "neg-bias-mini"));

TEST(Checkpoint, OpensTheBundledModel) {
  const auto dir = std::filesystem::path(troupe::kSourceDir) / "examples/troupe-tiny";
  const auto checkpoint = Checkpoint::open(dir);
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  EXPECT_EQ(checkpoint->config().routed_experts, 32);
}

TEST(Checkpoint, FindsAScaleInAnotherFileThanItsWeight) {
  TempDir dir;
  TinyCheckpoint tiny;
  tiny.shard_of = {{kScale, "scales.safetensors"}};
  tiny.write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  EXPECT_NE(checkpoint->find(kQa)->file, checkpoint->find(kScale)->file);
  const auto matrix = checkpoint->matrix(kQa, 136, 160);
  ASSERT_TRUE(matrix);
  EXPECT_EQ(std::memcmp(matrix->scales, tiny.tensors[kScale].bytes.data(), 16), 0);
  EXPECT_EQ(std::memcmp(matrix->data, tiny.tensors[kQa].bytes.data(), 136 * 160), 0);
}

TEST(Checkpoint, ReadsTensorsThatStartAtOddOffsets) {
  TempDir dir;
  TinyCheckpoint tiny;
  for (std::size_t pad = 0; pad < 8; ++pad) {
    tiny.pad = pad;
    tiny.write(dir.path());
    const auto checkpoint = Checkpoint::open(dir.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
    const auto bias = checkpoint->vector(kBias, 4);
    ASSERT_TRUE(bias);
    EXPECT_EQ(std::memcmp(bias->data(), tiny.tensors[kBias].bytes.data(), 16), 0);
  }
}

TEST(Checkpoint, ReadsScalesStoredAsBf16OrE8m0) {
  TempDir dir;
  TinyCheckpoint tiny;
  tiny.tensors[kScale] = {"F8_E8M0", {2, 2}, std::string("\x7f\x80\x7e\x00", 4)};
  tiny.write(dir.path());
  auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  auto matrix = checkpoint->matrix(kQa, 136, 160);
  ASSERT_TRUE(matrix);
  EXPECT_EQ(std::vector(matrix->scales, matrix->scales + 4),
            (std::vector<float>{1.0f, 2.0f, 0.5f, 0x1p-127f}));
  tiny.tensors[kScale] = {"BF16", {2, 2}, std::string("\x80\x3f\x00\x40\x00\x3f\xc0\x3f", 8)};
  tiny.write(dir.path());
  checkpoint = Checkpoint::open(dir.path());
  matrix = checkpoint->matrix(kQa, 136, 160);
  EXPECT_EQ(std::vector(matrix->scales, matrix->scales + 4),
            (std::vector<float>{1.0f, 2.0f, 0.5f, 1.5f}));
}

TEST(Checkpoint, KeepsItsMatricesWhenItIsMoved) {
  TempDir dir;
  TinyCheckpoint().write(dir.path());
  auto first = Checkpoint::open(dir.path());
  const auto matrix = first->matrix(kQa, 136, 160);
  const float scale = matrix->scales[3];
  const Checkpoint second = *std::move(first);
  EXPECT_EQ(matrix->scales[3], scale);
  EXPECT_EQ(second.matrix(kQa, 136, 160)->scales, matrix->scales);
}

TEST(Checkpoint, HasNoMtpWhenItsLayerIsMissingOrIncomplete) {
  TempDir dir;
  TinyCheckpoint tiny;
  tiny.tensors.erase("model.layers.2.embed_tokens.weight");
  tiny.tensors.erase("model.layers.2.shared_head.head.weight");
  tiny.write(dir.path());
  EXPECT_TRUE(Checkpoint::open(dir.path())->has_mtp()) << "the duplicates are optional";
  tiny.tensors.erase("model.layers.2.enorm.weight");
  tiny.write(dir.path());
  EXPECT_FALSE(Checkpoint::open(dir.path())->has_mtp());
  std::erase_if(tiny.tensors,
                [](const auto& item) { return item.first.starts_with("model.layers.2."); });
  tiny.write(dir.path());
  EXPECT_FALSE(Checkpoint::open(dir.path())->has_mtp());
}

TEST(Checkpoint, TakesAnAbsentQLoraRankAsNoneOnlyWithQProjTensors) {
  TempDir dir;
  TinyCheckpoint tiny;
  tiny.config.erase("q_lora_rank");
  tiny.write(dir.path());
  const auto refused = Checkpoint::open(dir.path());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("q_lora_rank"), std::string::npos);

  for (int layer = 0; layer < 3; ++layer) {
    const std::string a = "model.layers." + std::to_string(layer) + ".self_attn.";
    tiny.tensors[a + "q_proj.weight"] = {"BF16", {96, 160}, std::string(96 * 160 * 2, '\0')};
    for (const char* gone : {"q_a_proj.weight", "q_a_proj.weight_scale_inv", "q_b_proj.weight",
                             "q_b_proj.weight_scale_inv", "q_a_layernorm.weight"})
      tiny.tensors.erase(a + gone);
  }
  tiny.write(dir.path());
  const auto opened = Checkpoint::open(dir.path());
  ASSERT_TRUE(opened) << opened.error().detail;
  EXPECT_EQ(opened->config().q_lora_rank, 0);
}

std::string revision_of(const TinyCheckpoint& tiny) {
  TempDir dir;
  tiny.write(dir.path());
  return Checkpoint::open(dir.path())->revision();
}

TEST(Revision, ChangesWithConfigHeadersAndVectorsButNotWithKeyOrder) {
  const TinyCheckpoint tiny;
  const std::string base = revision_of(tiny);
  EXPECT_EQ(base.size(), 64u);
  TinyCheckpoint reordered;
  reordered.config.erase("hidden_size");
  reordered.config["hidden_size"] = 160;
  EXPECT_EQ(revision_of(reordered), base);

  std::set<std::string> seen{base};
  TinyCheckpoint config, bias, header;
  config.config["rope_theta"] = 10001;
  bias.tensors[kBias].bytes[0] ^= 1;
  header.pad = 1;
  for (const TinyCheckpoint* changed : {&config, &bias, &header})
    EXPECT_TRUE(seen.insert(revision_of(*changed)).second);
}

}  // namespace
}  // namespace troupe::model
