// Quantising writes the layers that published checkpoints quantise, near their values, and resumes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "model/checkpoint/cast.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "tests/support/dequantised.hpp"
#include "tests/support/source_dir.hpp"

namespace troupe::model {
namespace {

namespace fs = std::filesystem;
using testing::TempDir;
using testing::TinyCheckpoint;

constexpr WeightFormat kTargets[] = {WeightFormat::int8_blocks, WeightFormat::int8_channel,
                                     WeightFormat::int4_groups};

fs::path golden(const std::string& name) {
  return fs::path(troupe::kSourceDir) / "tests/goldens" / name / "model";
}

Checkpoint opened(const fs::path& dir) {
  auto checkpoint = Checkpoint::open(dir);
  EXPECT_TRUE(checkpoint) << checkpoint.error().detail;
  return *std::move(checkpoint);
}

std::map<std::string, std::string> files_of(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(dir))
    files[entry.path().filename().string()] = testing::read_bytes(entry.path());
  return files;
}

bool is_linear(std::string_view name) {
  return name.ends_with("_proj.weight") || name.ends_with("_with_mqa.weight");
}

/// Largest |difference| of two lists over the largest |value|.
double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  EXPECT_EQ(got.size(), want.size());
  double worst = 0;
  double largest = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - static_cast<double>(want[i])));
    largest = std::max(largest, std::fabs(static_cast<double>(want[i])));
  }
  return worst / largest;
}

TEST(Quantise, ToInt8TakesEveryLinearAndNothingElse) {
  for (const char* name : {"v3-mini", "kimi-mini"})
    for (const auto to : {WeightFormat::int8_blocks, WeightFormat::int8_channel}) {
      TempDir dir;
      ASSERT_TRUE(cast_checkpoint(golden(name), dir / "out", {.to = to}));
      const Checkpoint in = opened(golden(name));
      const Checkpoint out = opened(dir / "out");
      EXPECT_EQ(out.has_mtp(), in.has_mtp());
      for (const TensorView& tensor : in.tensors()) {
        const std::string weight(tensor.name);
        if (weight.ends_with("_scale_inv")) continue;
        const TensorView* got = out.find(weight);
        ASSERT_NE(got, nullptr) << weight;
        const bool quantised = is_linear(weight) && !weight.ends_with("eh_proj.weight");
        EXPECT_EQ(got->dtype, quantised ? DType::i8 : tensor.dtype) << weight;
        if (quantised) {
          EXPECT_LE(relative_error(testing::linear_values(out, weight),
                                   testing::linear_values(in, weight)),
                    0.5 / 127 * (1 + 1e-5))
              << weight;
        } else {
          EXPECT_EQ(std::memcmp(got->data, tensor.data, tensor.bytes), 0) << weight;
        }
      }
    }
}

TEST(Quantise, ToInt4TakesTheRoutedExpertsAndLeavesBf16) {
  for (const char* name : {"v3-mini", "kimi-mini"}) {
    TempDir dir;
    ASSERT_TRUE(cast_checkpoint(golden(name), dir / "out", {.to = WeightFormat::int4_groups}));
    const Checkpoint in = opened(golden(name));
    const Checkpoint out = opened(dir / "out");
    std::size_t packed = 0;
    for (const TensorView& tensor : in.tensors()) {
      const std::string weight(tensor.name);
      if (weight.ends_with("_scale_inv")) continue;
      if (weight.find(".mlp.experts.") == std::string::npos) {
        ASSERT_NE(out.find(weight), nullptr) << weight;
        EXPECT_NE(out.find(weight)->dtype, DType::f8_e4m3) << weight;
        continue;
      }
      ++packed;
      EXPECT_EQ(out.find(weight), nullptr) << weight;
      EXPECT_LE(
          relative_error(testing::linear_values(out, weight), testing::linear_values(in, weight)),
          (0.5 + 7.5 / 256) / 7.5)
          << weight;
    }
    EXPECT_GT(packed, 40u);
    for (const TensorView& tensor : out.tensors())
      EXPECT_FALSE(tensor.name.ends_with("_scale_inv")) << tensor.name;
  }
}

TEST(Quantise, ToInt4AllLeavesKvBAndWhatFp8LeavesAlone) {
  for (const char* name : {"v3-mini", "kimi-mini"}) {
    TempDir dir;
    const auto report =
        cast_checkpoint(golden(name), dir / "out",
                        {.to = WeightFormat::int4_groups, .int4_layers = Int4Layers::all});
    ASSERT_TRUE(report) << report.error().detail;
    const Checkpoint in = opened(golden(name));
    const Checkpoint out = opened(dir / "out");
    std::size_t packed = 0;
    for (const TensorView& tensor : in.tensors()) {
      const std::string weight(tensor.name);
      if (!is_linear(weight)) continue;
      if (weight.ends_with("kv_b_proj.weight") || weight.ends_with("eh_proj.weight")) {
        ASSERT_NE(out.find(weight), nullptr) << weight;
        EXPECT_EQ(out.find(weight)->dtype, DType::bf16) << weight;
        continue;
      }
      ++packed;
      EXPECT_NE(out.find(weight + "_packed"), nullptr) << weight;
      EXPECT_LE(
          relative_error(testing::linear_values(out, weight), testing::linear_values(in, weight)),
          (0.5 + 7.5 / 256) / 7.5)
          << weight;
    }
    EXPECT_GT(packed, 60u);
  }
}

TEST(Quantise, ToInt4AllOpensWithOneQProjection) {
  TempDir dir;
  fs::copy(golden("moonlight-mini"), dir / "in");
  auto config = nlohmann::ordered_json::parse(testing::read_bytes(dir / "in/config.json"));
  config.erase("q_lora_rank");  // the tensors say that there is one q_proj
  testing::write_bytes(dir / "in/config.json", config.dump());
  const auto report = cast_checkpoint(
      dir / "in", dir / "out", {.to = WeightFormat::int4_groups, .int4_layers = Int4Layers::all});
  ASSERT_TRUE(report) << report.error().detail;
  const Checkpoint out = opened(dir / "out");
  EXPECT_EQ(out.config().q_lora_rank, 0);
  EXPECT_NE(out.find("model.layers.0.self_attn.q_proj.weight_packed"), nullptr);
}

TEST(Quantise, ReplacesStrayTensorsOfTheNamesItWrites) {
  const std::string name = "model.layers.1.mlp.experts.2.up_proj.weight";
  TinyCheckpoint tiny(false);
  tiny.tensors[name + "_shape"] = {"I32", {2}, std::string(8, '\x07')};
  TempDir dir;
  tiny.write(dir / "in");
  const auto report = cast_checkpoint(dir / "in", dir / "out", {.to = WeightFormat::int4_groups});
  ASSERT_TRUE(report) << report.error().detail;
  const Checkpoint out = opened(dir / "out");
  EXPECT_TRUE(out.matrix(name, 16, 160));
}

TEST(Quantise, RewritesIndexAndConfig) {
  for (const WeightFormat to : kTargets) {
    TempDir dir;
    ASSERT_TRUE(cast_checkpoint(golden("v3-mini"), dir / "out", {.to = to}));
    const Checkpoint out = opened(dir / "out");
    EXPECT_EQ(out.config().quantisation.format, to);
    const auto index =
        nlohmann::json::parse(testing::read_bytes(dir / "out" / "model.safetensors.index.json"));
    std::uint64_t bytes = 0;
    for (const TensorView& tensor : out.tensors()) {
      bytes += tensor.bytes;
      EXPECT_EQ(index["weight_map"][std::string(tensor.name)], std::string(tensor.file));
    }
    EXPECT_EQ(index["metadata"]["total_size"], bytes);
    EXPECT_EQ(index["weight_map"].size(), out.tensors().size());
  }
}

TEST(Quantise, CastsBackToBf16) {
  for (const WeightFormat to : kTargets) {
    TempDir dir;
    ASSERT_TRUE(cast_checkpoint(golden("v3-mini"), dir / "packed", {.to = to}));
    const auto report = cast_checkpoint(dir / "packed", dir / "plain");
    ASSERT_TRUE(report) << report.error().detail;
    const Checkpoint packed = opened(dir / "packed");
    const Checkpoint plain = opened(dir / "plain");
    EXPECT_EQ(plain.config().quantisation, Quantisation{});
    for (const TensorView& tensor : plain.tensors()) {
      const std::string name(tensor.name);
      if (!is_linear(name) || name.ends_with("eh_proj.weight")) continue;
      EXPECT_EQ(tensor.dtype, DType::bf16) << name;
      EXPECT_LE(
          relative_error(testing::linear_values(plain, name), testing::linear_values(packed, name)),
          1.0 / 256)
          << name;
    }
  }
}

/// Widths that fill neither words nor groups, in matrices of odd sizes.
TinyCheckpoint ragged(bool fp8) {
  TinyCheckpoint tiny(fp8);
  tiny.config["moe_intermediate_size"] = 13;
  for (auto& [name, tensor] : tiny.tensors) {
    const bool down = name.ends_with("down_proj.weight");
    if (!down && !name.ends_with("up_proj.weight") && !name.ends_with("gate_proj.weight")) continue;
    if (name.find("layers.0.") != std::string::npos) continue;
    tensor.shape[down ? 1 : 0] = 13;
    tensor.bytes.resize(13 * 160 * (fp8 ? 1 : 2));
  }
  tiny.tensors["a.stray"] = {"U8", {3}, "odd"};  // begins the file
  return tiny;
}

TEST(Quantise, TensorsBeginAtMultiplesOfTheirElements) {
  for (const bool fp8 : {false, true})
    for (const WeightFormat to : {WeightFormat::plain, WeightFormat::int8_blocks,
                                  WeightFormat::int8_channel, WeightFormat::int4_groups}) {
      TempDir dir;
      ragged(fp8).write(dir / "in");
      const CastOptions options{.to = to, .int4_layers = Int4Layers::all};
      const auto report = cast_checkpoint(dir / "in", dir / "out", options);
      ASSERT_TRUE(report) << report.error().detail;
      const bool copied = to == WeightFormat::plain && !fp8;
      const auto file = SafetensorsFile::open(dir / "out/model.safetensors");
      ASSERT_TRUE(file) << file.error().detail;
      for (const SafetensorsEntry& entry : file->header().entries) {
        if (copied) break;
        EXPECT_EQ(file->header().data_start % 8, 0u);
        EXPECT_EQ(entry.begin % bytes_of(entry.dtype), 0u) << entry.name;
      }
      const Checkpoint in = opened(dir / "in");
      const Checkpoint out = opened(dir / "out");
      for (const TensorView& tensor : in.tensors()) {
        const std::string weight(tensor.name);
        if (!is_linear(weight) || weight.ends_with("eh_proj.weight")) continue;
        EXPECT_LE(
            relative_error(testing::linear_values(out, weight), testing::linear_values(in, weight)),
            (0.5 + 7.5 / 256) / 7.5)
            << weight;
      }
      EXPECT_EQ(std::memcmp(out.find("a.stray")->data, "odd", 3), 0);
    }
}

/// Two files, so that one can be finished when the other is not.
void write_sharded(const fs::path& dir, TinyCheckpoint tiny) {
  for (const auto& [name, tensor] : tiny.tensors)
    if (name.starts_with("model.layers.1.")) tiny.shard_of[name] = "layer1.safetensors";
  tiny.write(dir);
}

TEST(QuantiseDeathTest, ContinuesAfterTheProcessWasKilled) {
  for (const WeightFormat to : kTargets) {
    TempDir dir;
    write_sharded(dir / "in", ragged(true));
    ASSERT_TRUE(cast_checkpoint(dir / "in", dir / "whole", {.to = to}));
    int steps = 0;
    CastOptions dies{.to = to, .progress = {}, .stop = {}};
    dies.progress = [&](std::uint64_t, std::uint64_t) {
      if (++steps == 2) ::_exit(9);
    };
    EXPECT_EXIT(static_cast<void>(cast_checkpoint(dir / "in", dir / "out", dies)),
                ::testing::ExitedWithCode(9), "");
    EXPECT_TRUE(fs::exists(dir / "out/rest.safetensors.partial"));
    EXPECT_FALSE(Checkpoint::open(dir / "out")) << "half a cast is no model";
    const auto resumed = cast_checkpoint(dir / "in", dir / "out", {.to = to});
    ASSERT_TRUE(resumed) << resumed.error().detail;
    EXPECT_EQ(resumed->files_kept, 1u);
    EXPECT_EQ(files_of(dir / "out"), files_of(dir / "whole"));
  }
}

void expect_refused(const fs::path& in, const fs::path& out, WeightFormat to, Errc code,
                    const std::string& word) {
  const auto report = cast_checkpoint(in, out, {.to = to});
  ASSERT_FALSE(report) << "expected: " << word;
  EXPECT_EQ(report.error().code, code) << report.error().detail;
  EXPECT_NE(report.error().detail.find(word), std::string::npos) << report.error().detail;
}

TEST(Quantise, RefusesQuantisedInputAndOtherFormatsInOneDirectory) {
  TempDir dir;
  write_sharded(dir / "in", TinyCheckpoint(false));
  ASSERT_TRUE(cast_checkpoint(dir / "in", dir / "int8", {.to = WeightFormat::int8_blocks}));
  expect_refused(dir / "int8", dir / "out", WeightFormat::int4_groups, Errc::invalid_argument,
                 "quantised already (int8)");
  EXPECT_FALSE(fs::exists(dir / "out"));
  expect_refused(dir / "in", dir / "int8", WeightFormat::int4_groups, Errc::invalid_argument,
                 "another format (int8 instead of int4)");
  ASSERT_TRUE(cast_checkpoint(dir / "in", dir / "int4", {.to = WeightFormat::int4_groups}));
  const auto all = cast_checkpoint(
      dir / "in", dir / "int4", {.to = WeightFormat::int4_groups, .int4_layers = Int4Layers::all});
  ASSERT_FALSE(all);
  EXPECT_NE(all.error().detail.find("(int4 instead of int4-all)"), std::string::npos)
      << all.error().detail;
}

TEST(Quantise, RefusesWeightsThatAreNoNumbersOrTooLarge) {
  const std::string name = "model.layers.1.mlp.experts.2.up_proj.weight";
  for (const auto& [value, word] : std::vector<std::pair<float, std::string>>{
           {0x1p70f, "do not fit INT4; use --to int8"}, {std::nanf(""), "NaN or infinity"}}) {
    TempDir dir;
    TinyCheckpoint tiny(false);
    tiny.tensors[name].as<Bf16>()[163] = f32_to_bf16(value);
    tiny.write(dir / "in");
    expect_refused(dir / "in", dir / "out", WeightFormat::int4_groups, Errc::malformed, word);
    expect_refused(dir / "in", dir / "out", WeightFormat::int4_groups, Errc::malformed, name);
    EXPECT_FALSE(fs::exists(dir / "out/model.safetensors"));
  }
  TempDir dir;
  TinyCheckpoint tiny;
  tiny.tensors[name].bytes[5] = 0x7e;  // 448
  *tiny.tensors[name + "_scale_inv"].as<float>() = 1e37f;
  tiny.write(dir / "in");
  expect_refused(dir / "in", dir / "out", WeightFormat::int8_blocks, Errc::malformed,
                 "overflows F32; the file is damaged, download it again");
}

}  // namespace
}  // namespace troupe::model
