// Casting gives exactly rn_bf16(q * s), survives being killed, and refuses what it cannot do.
#include "model/checkpoint/cast.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "model/checkpoint/checkpoint.hpp"
#include "tests/support/dequantised.hpp"
#include "tests/support/source_dir.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

namespace fs = std::filesystem;
using testing::TempDir;
using testing::TinyCheckpoint;

fs::path golden(const std::string& name) {
  return fs::path(troupe::kSourceDir) / "tests/goldens" / name / "model";
}

/// Name and bytes of every file below `dir`.
std::map<std::string, std::string> files_of(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(dir))
    files[entry.path().filename().string()] = testing::read_bytes(entry.path());
  return files;
}

/// Nearest number of 8 significant bits, ties to even, by arithmetic instead of bits.
float nearest_bf16(float value) {
  if (value == 0) return value;
  int exponent = 0;
  const double fraction = std::frexp(static_cast<double>(value), &exponent);  // [0.5, 1)
  return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8));
}

void expect_cast_of(const Checkpoint& in, const Checkpoint& out, const TensorView& weight) {
  const TensorView* cast = out.find(weight.name);
  ASSERT_NE(cast, nullptr) << weight.name;
  ASSERT_EQ(cast->shape, weight.shape);
  if (weight.dtype != DType::f8_e4m3) {
    EXPECT_EQ(cast->dtype, weight.dtype);
    EXPECT_EQ(std::memcmp(cast->data, weight.data, weight.bytes), 0) << weight.name;
    return;
  }
  ASSERT_EQ(cast->dtype, DType::bf16);
  const TensorView* scale = in.find(std::string(weight.name) + "_scale_inv");
  const std::int64_t cols = weight.shape[1];
  const std::int64_t blocks = (cols + 127) / 128;
  for (std::int64_t i = 0; i < weight.count(); ++i) {
    float s = 0;
    const std::int64_t block = i / cols / 128 * blocks + i % cols / 128;
    std::memcpy(&s, scale->data + 4 * block, 4);
    Bf16 bits = 0;
    std::memcpy(&bits, cast->data + 2 * i, 2);
    const float expected =
        nearest_bf16(testing::e4m3_by_definition(std::to_integer<unsigned>(weight.data[i])) * s);
    ASSERT_EQ(bf16_to_f32(bits), expected) << weight.name << " element " << i;
  }
}

TEST(Cast, EveryElementIsTheRoundedProduct) {
  for (const char* name : {"v3-mini", "v31-mini"}) {
    TempDir dir;
    const auto report = cast_checkpoint(golden(name), dir / "out");
    ASSERT_TRUE(report) << report.error().detail;
    EXPECT_GT(report->tensors_cast, 100u);
    const auto in = Checkpoint::open(golden(name));
    const auto out = Checkpoint::open(dir / "out");
    ASSERT_TRUE(out) << out.error().detail;
    EXPECT_EQ(out->config().quantisation, Quantisation{});
    EXPECT_TRUE(out->has_mtp());
    std::size_t scales = 0;
    for (const TensorView& tensor : in->tensors()) {
      if (tensor.name.ends_with("_scale_inv"))
        ++scales;
      else
        expect_cast_of(*in, *out, tensor);
    }
    EXPECT_EQ(out->tensors().size() + scales, in->tensors().size());
    ModelConfig unquantised = in->config();
    unquantised.quantisation = {};
    EXPECT_EQ(out->config(), unquantised);
  }
}

TEST(Cast, RewritesTheIndexWithItsSizeAndWithoutScales) {
  TempDir dir;
  ASSERT_TRUE(cast_checkpoint(golden("v3-mini"), dir / "out"));
  const auto index =
      nlohmann::json::parse(testing::read_bytes(dir / "out" / "model.safetensors.index.json"));
  const auto out = Checkpoint::open(dir / "out");
  std::uint64_t bytes = 0;
  for (const TensorView& tensor : out->tensors()) bytes += tensor.bytes;
  EXPECT_EQ(index["metadata"]["total_size"], bytes);
  for (const auto& [name, file] : index["weight_map"].items())
    EXPECT_FALSE(name.ends_with("_scale_inv"));
  const auto config = nlohmann::json::parse(testing::read_bytes(dir / "out" / "config.json"));
  EXPECT_FALSE(config.contains("quantization_config"));
  EXPECT_EQ(config["rope_theta"], 10000);
}

TEST(Cast, OfABf16CheckpointIsACopy) {
  for (const char* name : {"moonlight-mini", "kimi-mini"}) {
    TempDir dir;
    ASSERT_TRUE(cast_checkpoint(golden(name), dir / "out"));
    auto out = files_of(dir / "out");
    EXPECT_EQ(out.erase(".troupe-cast.json"), 1u);
    EXPECT_EQ(out, files_of(golden(name)));
  }
}

/// Three files, one with scales only, and things that come with a model.
void write_sharded(const fs::path& dir) {
  TinyCheckpoint tiny;
  for (const auto& [name, tensor] : tiny.tensors) {
    if (name.ends_with("o_proj.weight_scale_inv")) tiny.shard_of[name] = "scales.safetensors";
    if (name.starts_with("model.layers.1.")) tiny.shard_of[name] = "layer1.safetensors";
  }
  tiny.write(dir);
  testing::write_bytes(dir / "tokenizer.json", "{}");
  testing::write_bytes(dir / "LICENSE", "as it is");
  testing::write_bytes(dir / "stray.safetensors", "not in the index");
  fs::create_directory(dir / "folder");
}

TEST(Cast, CopiesOtherFilesAndDropsFilesOfScalesOnly) {
  TempDir dir;
  write_sharded(dir / "in");
  ASSERT_TRUE(cast_checkpoint(dir / "in", dir / "out"));
  std::set<std::string> names;
  for (const auto& [name, bytes] : files_of(dir / "out")) names.insert(name);
  EXPECT_EQ(names, (std::set<std::string>{".troupe-cast.json", "LICENSE", "config.json",
                                          "layer1.safetensors", "model.safetensors.index.json",
                                          "rest.safetensors", "tokenizer.json"}));
  EXPECT_EQ(testing::read_bytes(dir / "out" / "LICENSE"), "as it is");
  EXPECT_TRUE(Checkpoint::open(dir / "out"));
}

TEST(Cast, ContinuesAfterAStopWithoutRepeatingFinishedFiles) {
  TempDir dir;
  write_sharded(dir / "in");
  ASSERT_TRUE(cast_checkpoint(dir / "in", dir / "whole"));
  int steps = 0;
  const auto stopped = cast_checkpoint(dir / "in", dir / "out",
                                       {.progress = {}, .stop = [&] { return ++steps == 2; }});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Errc::cancelled);
  EXPECT_TRUE(fs::exists(dir / "out/layer1.safetensors"));
  EXPECT_FALSE(fs::exists(dir / "out/rest.safetensors"));
  EXPECT_FALSE(Checkpoint::open(dir / "out")) << "half a cast is no model";

  const auto resumed = cast_checkpoint(dir / "in", dir / "out");
  ASSERT_TRUE(resumed) << resumed.error().detail;
  EXPECT_EQ(resumed->files_kept, 1u);
  EXPECT_EQ(resumed->files_written, 1u);
  EXPECT_EQ(files_of(dir / "out"), files_of(dir / "whole"));
  const auto again = cast_checkpoint(dir / "in", dir / "out");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->files_written, 0u);
}

TEST(CastDeathTest, ContinuesAfterTheProcessWasKilled) {
  TempDir dir;
  write_sharded(dir / "in");
  ASSERT_TRUE(cast_checkpoint(dir / "in", dir / "whole"));
  int steps = 0;
  const CastOptions dies{.progress =
                             [&](std::uint64_t, std::uint64_t) {
                               if (++steps == 2) ::_exit(9);
                             },
                         .stop = {}};
  EXPECT_EXIT(static_cast<void>(cast_checkpoint(dir / "in", dir / "out", dies)),
              ::testing::ExitedWithCode(9), "");
  EXPECT_TRUE(fs::exists(dir / "out/rest.safetensors.partial"));
  const auto resumed = cast_checkpoint(dir / "in", dir / "out");
  ASSERT_TRUE(resumed) << resumed.error().detail;
  EXPECT_EQ(resumed->files_kept, 1u);
  EXPECT_EQ(files_of(dir / "out"), files_of(dir / "whole"));
}

TEST(Cast, WritesAFileAgainThatIsNotWhatItShouldBe) {
  TempDir dir;
  write_sharded(dir / "in");
  ASSERT_TRUE(cast_checkpoint(dir / "in", dir / "out"));
  const auto whole = files_of(dir / "out");
  fs::resize_file(dir / "out/layer1.safetensors", 1000);
  std::string rest = whole.at("rest.safetensors");
  rest[20] ^= 1;  // inside the header
  testing::write_bytes(dir / "out/rest.safetensors", rest);
  const auto repaired = cast_checkpoint(dir / "in", dir / "out");
  ASSERT_TRUE(repaired);
  EXPECT_EQ(repaired->files_written, 2u);
  EXPECT_EQ(files_of(dir / "out"), whole);
}

TEST(Cast, ReportsProgressUpToTheTotal) {
  TempDir dir;
  write_sharded(dir / "in");
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  const auto report = cast_checkpoint(dir / "in", dir / "out",
                                      {.progress =
                                           [&](std::uint64_t done, std::uint64_t all) {
                                             EXPECT_GE(done, last);
                                             last = done;
                                             total = all;
                                           },
                                       .stop = {}});
  ASSERT_TRUE(report);
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, report->bytes_total);
}

TEST(Cast, AnInputThatIsCutMeanwhileGivesNoFile) {
  TempDir dir;
  write_sharded(dir / "in");
  const fs::path cut = dir / "in/layer1.safetensors";
  const auto bytes = fs::file_size(cut);
  const auto report = cast_checkpoint(
      dir / "in", dir / "out",
      // One byte less is no SIGBUS: it would be cast as a zero.
      {.progress = [&](std::uint64_t, std::uint64_t) { fs::resize_file(cut, bytes - 1); },
       .stop = {}});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::truncated);
  EXPECT_NE(report.error().detail.find("layer1.safetensors"), std::string::npos);
  EXPECT_FALSE(fs::exists(dir / "out/layer1.safetensors"));
}

void expect_refused(const fs::path& in, const fs::path& out, Errc code, const std::string& word) {
  const auto report = cast_checkpoint(in, out);
  ASSERT_FALSE(report) << "expected: " << word;
  EXPECT_EQ(report.error().code, code) << report.error().detail;
  EXPECT_NE(report.error().detail.find(word), std::string::npos) << report.error().detail;
}

TEST(Cast, RefusesDirectoriesItMustNotTouch) {
  TempDir dir;
  TinyCheckpoint().write(dir / "in");
  expect_refused(dir / "none", dir / "out", Errc::not_found, "none");
  EXPECT_FALSE(fs::exists(dir / "out")) << "a bad input leaves no output";
  expect_refused(dir / "in", dir / "in", Errc::invalid_argument, "the input");
  fs::create_directory_symlink(dir / "in", dir / "link");
  expect_refused(dir / "in", dir / "link", Errc::invalid_argument, "the input");
  testing::write_bytes(dir / "file", "x");
  expect_refused(dir / "in", dir / "file", Errc::invalid_argument, "not a directory");
  fs::create_directory(dir / "full");
  testing::write_bytes(dir / "full" / "thesis.txt", "x");
  expect_refused(dir / "in", dir / "full", Errc::invalid_argument, "not empty");
  ASSERT_TRUE(cast_checkpoint(dir / "in", dir / "out"));
  TinyCheckpoint other;
  other.config["rope_theta"] = 5000;
  other.write(dir / "other");
  expect_refused(dir / "other", dir / "out", Errc::invalid_argument, "another model");
}

TEST(Cast, DoesNotGoOnWithOtherWeightsUnderTheSameHeaders) {
  TempDir dir;
  write_sharded(dir / "in");
  int steps = 0;
  ASSERT_FALSE(cast_checkpoint(dir / "in", dir / "out",
                               {.progress = {}, .stop = [&] { return ++steps == 2; }}));
  ASSERT_TRUE(fs::exists(dir / "out/layer1.safetensors"));
  const fs::path other = dir / "in/rest.safetensors";
  std::string bytes = testing::read_bytes(other);
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  bytes[8 + header] ^= 1;  // in the first matrix, the head's
  const auto before = fs::last_write_time(other);
  const std::string revision = Checkpoint::open(dir / "in")->revision();
  testing::write_bytes(other, bytes);
  fs::last_write_time(other, before + std::chrono::nanoseconds(1));
  ASSERT_EQ(Checkpoint::open(dir / "in")->revision(), revision);
  expect_refused(dir / "in", dir / "out", Errc::invalid_argument, "other weight files");
  testing::write_bytes(dir / "out/.troupe-cast.json", "{");
  expect_refused(dir / "in", dir / "out", Errc::invalid_argument, "damaged .troupe-cast.json");
}

TEST(Cast, WhatTheSystemRefusesIsAnErrorWithThePath) {
  TempDir dir;
  write_sharded(dir / "in");
  const fs::path loop = dir / "loop";  // leads to itself: nobody can look at it, not even root
  fs::create_symlink(loop, loop);
  expect_refused(dir / "in", loop, Errc::io, "cannot look at " + loop.string());
  expect_refused(dir / "in", loop / "out", Errc::io, "name another directory");
  const fs::path index = dir / "in/model.safetensors.index.json";
  const auto report = cast_checkpoint(dir / "in", dir / "out",
                                      {.progress =
                                           [&](std::uint64_t, std::uint64_t) {
                                             fs::remove(index);
                                             fs::create_symlink(index, index);
                                           },
                                       .stop = {}});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::io);
  EXPECT_NE(report.error().detail.find("cannot look at " + index.string()), std::string::npos)
      << report.error().detail;
}

TEST(Cast, CopiedIntegersKeepTheirScales) {
  const std::string up = "model.layers.2.mlp.experts.2.up_proj.weight";
  const std::string down = "model.layers.2.mlp.experts.2.down_proj.weight";
  TinyCheckpoint tiny;
  tiny.config["num_nextn_predict_layers"] = 0;  // nobody knows layer 2
  tiny.tensors[up].dtype = "I8";
  TempDir dir;
  tiny.write(dir / "in");
  ASSERT_TRUE(cast_checkpoint(dir / "in", dir / "out"));
  const auto out = Checkpoint::open(dir / "out");
  ASSERT_TRUE(out) << out.error().detail;
  ASSERT_NE(out->find(up), nullptr);
  EXPECT_EQ(out->find(up)->dtype, DType::i8);
  const TensorView* scale = out->find(up + "_scale_inv");
  ASSERT_NE(scale, nullptr) << "codes without their scale are lost";
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(scale->data), scale->bytes),
            tiny.tensors[up + "_scale_inv"].bytes);
  EXPECT_EQ(out->find(down)->dtype, DType::bf16);
  EXPECT_EQ(out->find(down + "_scale_inv"), nullptr);
}

TEST(Cast, RefusesNaNCodesAndScalesAndLeavesNoFile) {
  const std::string weight = "model.layers.1.mlp.experts.2.up_proj.weight";
  TempDir dir;
  TinyCheckpoint code;
  code.tensors[weight].bytes[161] = '\xff';
  code.write(dir / "code");
  expect_refused(dir / "code", dir / "out1", Errc::malformed,
                 "model.safetensors: tensor " + weight + " holds the NaN code at row 1");
  EXPECT_FALSE(fs::exists(dir / "out1/model.safetensors"));
  TinyCheckpoint scale;
  const float nan = std::nanf("");
  std::memcpy(scale.tensors[weight + "_scale_inv"].bytes.data(), &nan, sizeof nan);
  scale.write(dir / "scale");
  expect_refused(dir / "scale", dir / "out2", Errc::malformed, weight + "_scale_inv");
}

}  // namespace
}  // namespace troupe::model
