// INT8 and INT4 checkpoints open, and what is wrong with one is told with the tensor it is in.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "model/checkpoint/checkpoint.hpp"
#include "model/checkpoint/inspect.hpp"
#include "model/config/json_value.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

using testing::StoredTensor;
using testing::TempDir;
using testing::TinyCheckpoint;

const std::string kUp = "model.layers.1.mlp.experts.2.up_proj.weight";  // [16, 160]

void set_quantisation(TinyCheckpoint& tiny, WeightFormat format) {
  tiny.config["quantization_config"] =
      nlohmann::ordered_json::parse(to_json(quantisation_json(format)));
}

/// e4m3 codes read as INT8; scales of blocks, or of rows made from nothing.
TinyCheckpoint int8(WeightFormat format) {
  TinyCheckpoint tiny;
  set_quantisation(tiny, format);
  const auto stored = tiny.tensors;
  for (const auto& [name, tensor] : stored) {
    if (tensor.dtype != "F8_E4M3") continue;
    tiny.tensors[name].dtype = "I8";
    if (format == WeightFormat::int8_blocks) continue;
    tiny.tensors.erase(name + "_scale_inv");
    StoredTensor scale{"F32", {tensor.shape[0], 1}, std::string()};
    for (std::int64_t row = 0; row < tensor.shape[0]; ++row) {
      const float value = 0.001f * static_cast<float>(1 + row % 5);
      scale.bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    tiny.tensors[name + "_scale"] = scale;
  }
  return tiny;
}

/// The routed experts packed, everything else BF16.
TinyCheckpoint int4() {
  TinyCheckpoint tiny(false);
  set_quantisation(tiny, WeightFormat::int4_groups);
  std::mt19937 random(20250101);
  const auto stored = tiny.tensors;
  for (const auto& [name, tensor] : stored) {
    if (name.find(".mlp.experts.") == std::string::npos) continue;
    const std::int64_t rows = tensor.shape[0];
    const std::int64_t cols = tensor.shape[1];
    tiny.tensors.erase(name);
    StoredTensor packed{"I32", {rows, (cols + 7) / 8}, std::string()};
    for (std::int64_t i = 0; i < rows * packed.shape[1] * 4; ++i)
      packed.bytes += static_cast<char>(random());
    StoredTensor scale{"BF16", {rows, (cols + 31) / 32}, std::string()};
    for (std::int64_t i = 0; i < rows * scale.shape[1]; ++i) {
      const Bf16 bits = f32_to_bf16(0.01f * static_cast<float>(1 + i % 9));
      scale.bytes.append(reinterpret_cast<const char*>(&bits), sizeof bits);
    }
    StoredTensor shape{"I64", {2}, std::string(16, '\0')};
    shape.as<std::int64_t>()[0] = rows;
    shape.as<std::int64_t>()[1] = cols;
    tiny.tensors[name + "_packed"] = packed;
    tiny.tensors[name + "_scale"] = scale;
    tiny.tensors[name + "_shape"] = shape;
  }
  return tiny;
}

void expect_refused(const TinyCheckpoint& tiny, Errc code, const std::vector<std::string>& words) {
  TempDir dir;
  tiny.write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_FALSE(checkpoint) << "accepted, expected: " << words.front();
  EXPECT_EQ(checkpoint.error().code, code) << checkpoint.error().detail;
  for (const std::string& word : words)
    EXPECT_NE(checkpoint.error().detail.find(word), std::string::npos)
        << word << " not in: " << checkpoint.error().detail;
}

/// `tiny` with one change.
TinyCheckpoint with(TinyCheckpoint tiny, const std::function<void(TinyCheckpoint&)>& change) {
  change(tiny);
  return tiny;
}

TEST(QuantisedCheckpoint, Int8OpensWithItsScales) {
  for (const auto format : {WeightFormat::int8_blocks, WeightFormat::int8_channel}) {
    TempDir dir;
    int8(format).write(dir.path());
    const auto checkpoint = Checkpoint::open(dir.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
    EXPECT_TRUE(checkpoint->has_mtp());
    const auto up = checkpoint->matrix(kUp, 16, 160);
    ASSERT_TRUE(up) << up.error().detail;
    EXPECT_EQ(up->dtype, DType::i8);
    const bool rows = format == WeightFormat::int8_channel;
    EXPECT_EQ(up->scale_shape, rows ? kernels::ScaleShape::row : kernels::ScaleShape::block);
    if (rows) {
      EXPECT_EQ(up->scales[6], 0.002f);
    }
    EXPECT_TRUE(check_codes(kUp, *up));
  }
}

TEST(QuantisedCheckpoint, Int8ScalesOfRowsMayHaveOneDimensionAndBf16) {
  TempDir dir;
  with(int8(WeightFormat::int8_channel), [](TinyCheckpoint& t) {
    t.tensors[kUp + "_scale"] = {"BF16", {16}, std::string(32, '\x3c')};
  }).write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  EXPECT_EQ(checkpoint->matrix(kUp, 16, 160)->scales[15], bf16_to_f32(0x3c3c));
}

TEST(QuantisedCheckpoint, Int4PointsIntoTheFile) {
  TempDir dir;
  int4().write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  const auto up = checkpoint->matrix(kUp, 16, 160);
  ASSERT_TRUE(up) << up.error().detail;
  EXPECT_EQ(up->data, checkpoint->find(kUp + "_packed")->data);
  EXPECT_EQ(up->group_scales, checkpoint->find(kUp + "_scale")->data);
  EXPECT_EQ(up->row_bytes(), 80);
  EXPECT_EQ(checkpoint->find_weight(kUp), checkpoint->find(kUp + "_packed"));
  EXPECT_TRUE(check_codes(kUp, *up));
}

TEST(QuantisedCheckpoint, InspectCountsParametersAndNamesTheFormat) {
  const std::vector<std::pair<TinyCheckpoint, std::string>> cases{
      {int4(), "INT4"},
      {int8(WeightFormat::int8_channel), "per output feature"},
      {int8(WeightFormat::int8_blocks), "INT8 with 128x128"}};
  for (const auto& [tiny, word] : cases) {
    TempDir dir;
    tiny.write(dir / "packed");
    TinyCheckpoint(false).write(dir / "plain");
    const auto packed = inspect(*Checkpoint::open(dir / "packed"));
    const auto plain = inspect(*Checkpoint::open(dir / "plain"));
    ASSERT_TRUE(packed) << packed.error().detail;
    EXPECT_EQ(packed->experts.parameters, plain->experts.parameters);
    EXPECT_EQ(packed->total.parameters, plain->total.parameters);
    EXPECT_LT(packed->experts.bytes, plain->experts.bytes);
    EXPECT_EQ(packed->unused.tensors, 0u);
    EXPECT_NE(to_text(*packed).find(word), std::string::npos) << to_text(*packed);
  }
}

TEST(QuantisedCheckpoint, InspectCountsNoCodesThatFillAWordUp) {
  TinyCheckpoint tiny = int4();  // with 13 columns in two words of 8 codes
  tiny.config["moe_intermediate_size"] = 13;
  std::int64_t experts = 0;
  for (auto& [name, tensor] : tiny.tensors) {
    const bool down = name.find("down_proj.weight") != std::string::npos;
    if (name.find("layers.0.") != std::string::npos ||
        name.find("_proj.weight") == std::string::npos || name.find(".mlp.") == std::string::npos)
      continue;
    if (name.ends_with("_shape")) {
      tensor.as<std::int64_t>()[down ? 1 : 0] = 13;
      experts += name.find("layers.1.") != std::string::npos ? 1 : 0;
    } else if (!down) {
      tensor.bytes.resize(tensor.bytes.size() / 16 * 13);
      tensor.shape[0] = 13;
    } else if (tensor.dtype == "BF16" && !name.ends_with("_scale")) {  // the shared expert
      tensor.bytes.resize(160 * 13 * 2);
      tensor.shape[1] = 13;
    }
  }
  TempDir dir;
  tiny.write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  const auto packed = inspect(*checkpoint);
  ASSERT_TRUE(packed) << packed.error().detail;
  EXPECT_EQ(experts, 12);
  EXPECT_EQ(packed->experts.parameters, 12u * 13 * 160);
  EXPECT_EQ(packed->layers[1].experts.parameters, 12u * 13 * 160);
  for (const DTypeTotals& dtype : packed->dtypes) {
    if (dtype.dtype != DType::i32) continue;
    EXPECT_EQ(dtype.totals.parameters, 2u * 12 * 13 * 160) << "with the MTP layer's";
  }
}

TEST(QuantisedCheckpoint, ScalesThatAreMissingWrongOrTwice) {
  const auto blocks = int8(WeightFormat::int8_blocks);
  const auto rows = int8(WeightFormat::int8_channel);
  expect_refused(with(blocks, [](auto& t) { t.tensors.erase(kUp + "_scale_inv"); }),
                 Errc::not_found, {kUp + " has dtype I8", kUp + "_scale_inv or", kUp + "_scale"});
  expect_refused(with(rows,
                      [](auto& t) {
                        t.tensors[kUp + "_scale_inv"] = {"F32", {1, 2}, std::string(8, 'x')};
                      }),
                 Errc::malformed, {kUp, "two scales"});
  expect_refused(with(rows,
                      [](auto& t) {
                        t.tensors[kUp + "_scale"] = {"F32", {15, 1}, std::string(60, 'x')};
                      }),
                 Errc::malformed, {kUp + "_scale", "[15, 1]", "[16, 1]"});
  expect_refused(with(rows,
                      [](auto& t) {
                        t.tensors[kUp + "_scale"] = {"F16", {16, 1}, std::string(32, 'x')};
                      }),
                 Errc::unsupported, {kUp + "_scale", "F16"});
  expect_refused(with(blocks,
                      [](auto& t) {
                        t.tensors[kUp + "_scale_inv"] = {"F8_E8M0", {1, 2}, std::string(2, 'x')};
                      }),
                 Errc::unsupported, {kUp + "_scale_inv", "F8_E8M0"});
}

TEST(QuantisedCheckpoint, PackedTensorsThatDoNotFit) {
  const auto packed = [](const std::string& suffix, const StoredTensor& tensor) {
    return with(int4(), [&](auto& t) { t.tensors[kUp + suffix] = tensor; });
  };
  expect_refused(packed("_packed", {"I32", {16, 21}, std::string(16 * 84, 'x')}), Errc::malformed,
                 {kUp + "_packed", "[16, 21]", "[16, 20]"});
  expect_refused(packed("_packed", {"U8", {16, 20}, std::string(320, 'x')}), Errc::unsupported,
                 {kUp + "_packed", "U8", "I32"});
  expect_refused(packed("_scale", {"BF16", {16, 4}, std::string(128, '\x3c')}), Errc::malformed,
                 {kUp + "_scale", "[16, 4]", "[16, 5]"});
  expect_refused(packed("_scale", {"F32", {16, 5}, std::string(320, '\x3c')}), Errc::unsupported,
                 {kUp + "_scale", "F32", "BF16"});
  expect_refused(packed("_shape", {"I32", {2}, std::string("\x10\0\0\0\x9f\0\0\0", 8)}),
                 Errc::malformed, {kUp + "_shape", "[16, 159]", "[16, 160]"});
  expect_refused(packed("_shape", {"I32", {1}, std::string("\x10\0\0\0", 4)}), Errc::malformed,
                 {kUp + "_shape", "[1]"});
  expect_refused(packed("", {"BF16", {16, 160}, std::string(5120, '\x3c')}), Errc::malformed,
                 {kUp, "stored twice"});
  for (const char* suffix : {"_scale", "_shape"})
    expect_refused(with(int4(), [&](auto& t) { t.tensors.erase(kUp + suffix); }), Errc::not_found,
                   {kUp + suffix, "missing"});
  expect_refused(with(int4(), [](auto& t) { t.tensors.erase(kUp + "_packed"); }), Errc::not_found,
                 {kUp, "missing"});
}

TEST(QuantisedCheckpoint, IsWhatConfigJsonSays) {
  expect_refused(
      with(int8(WeightFormat::int8_blocks), [](auto& t) { t.config.erase("quantization_config"); }),
      Errc::malformed,
      {"dtype I8", "no quantization_config; take config.json and weights from one"});
  expect_refused(with(int8(WeightFormat::int8_blocks),
                      [](auto& t) { set_quantisation(t, WeightFormat::fp8_blocks); }),
                 Errc::malformed, {"stored as int8", "says fp8"});
  expect_refused(with(int8(WeightFormat::int8_blocks),
                      [](auto& t) { set_quantisation(t, WeightFormat::int8_channel); }),
                 Errc::malformed, {"stored as int8", "says int8-channel"});
  expect_refused(with(int4(),
                      [](auto& t) {
                        t.config["quantization_config"]["ignore"].push_back("re:.*experts.2.*");
                      }),
                 Errc::malformed, {"experts.2.", "is packed", "re:.*experts.2.*"});
  expect_refused(
      with(int4(), [](auto& t) { t.config["quantization_config"]["ignore"] = {"lm_head"}; }),
      Errc::malformed, {"self_attn", "is not packed", "ignore"});
  expect_refused(
      with(int4(), [](auto& t) { t.config["quantization_config"]["ignore"] = {"re:("}; }),
      Errc::malformed, {"config.json", "re:("});
  expect_refused(with(int4(),
                      [](auto& t) {
                        t.config["quantization_config"]["ignore"] = {"re:(.*)*(.*)*(.*)*(.*)*[!?]"};
                      }),
                 Errc::malformed, {"re:(.*)*(.*)*(.*)*(.*)*[!?]", "match limit"});
}

TEST(QuantisedCheckpoint, ScalesOfGroupsMustBeNumbersBelow2To65) {
  for (const Bf16 bits :
       {Bf16{0x7f80}, Bf16{0xffc0}, f32_to_bf16(0x1p65f), f32_to_bf16(-0x1p66f)}) {
    TempDir dir;
    with(int4(), [&](auto& t) {
      t.tensors[kUp + "_scale"].template as<Bf16>()[13] = bits;
    }).write(dir.path());
    const auto checkpoint = Checkpoint::open(dir.path());
    ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
    const auto checked = check_codes(kUp, *checkpoint->matrix(kUp, 16, 160));
    ASSERT_FALSE(checked) << bits;
    EXPECT_NE(checked.error().detail.find(kUp + "_scale"), std::string::npos);
    EXPECT_NE(checked.error().detail.find("row 2, group 3"), std::string::npos)
        << checked.error().detail;
  }
}

}  // namespace
}  // namespace troupe::model
