// AWQ and GPTQ layers are repacked to the values they are defined to have, and refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>

#include "model/attention_model.hpp"
#include "model/checkpoint/cast.hpp"
#include "model/checkpoint/dequantise.hpp"
#include "model/checkpoint/inspect.hpp"
#include "model/checkpoint/repacked_weight.hpp"
#include "model/expert_model.hpp"
#include "tests/support/golden_arrays.hpp"
#include "tests/support/local_forward.hpp"
#include "tests/support/mapped_pages.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

using testing::StoredTensor;
using testing::TempDir;
using testing::TinyCheckpoint;

const std::string kUp = "model.layers.1.mlp.experts.2.up_proj";  // [16, 160]
const std::string kKvB = "model.layers.0.self_attn.kv_b_proj";   // [128, 128]

struct Form {
  const char* name;
  WeightFormat format;
  std::int64_t group = 128;
  bool v2 = false;
  bool desc_act = false;
  bool bf16_scales = false;
};

constexpr Form kForms[] = {
    {.name = "awq", .format = WeightFormat::awq},
    {.name = "awq 32", .format = WeightFormat::awq, .group = 32, .bf16_scales = true},
    {.name = "awq row", .format = WeightFormat::awq, .group = -1},
    {.name = "gptq", .format = WeightFormat::gptq},
    {.name = "gptq v2 64", .format = WeightFormat::gptq, .group = 64, .v2 = true},
    {.name = "gptq desc_act", .format = WeightFormat::gptq, .group = 96, .desc_act = true},
};

std::int64_t groups_of(const Form& form, std::int64_t cols) {
  return form.group < 0 ? 1 : (cols + form.group - 1) / form.group;
}

StoredTensor random_words(std::mt19937& random, std::vector<std::int64_t> shape) {
  StoredTensor tensor{"I32", std::move(shape), {}};
  for (std::int64_t i = 0; i < tensor.shape[0] * tensor.shape[1]; ++i) {
    const auto word = static_cast<std::uint32_t>(random());
    tensor.bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return tensor;
}

/// Scales between 2^-9 and 2^-7, some negative.
StoredTensor random_scales(std::mt19937& random, const Form& form,
                           std::vector<std::int64_t> shape) {
  StoredTensor tensor{form.bf16_scales ? "BF16" : "F16", std::move(shape), {}};
  for (std::int64_t i = 0; i < tensor.shape[0] * tensor.shape[1]; ++i) {
    const std::uint32_t base = form.bf16_scales ? 0x3b00 : 0x1800;
    const std::uint32_t span = form.bf16_scales ? 0x100 : 0x800;
    const auto bits =
        static_cast<std::uint16_t>(base + random() % span + (random() % 8 == 0 ? 0x8000 : 0));
    tensor.bytes.append(reinterpret_cast<const char*>(&bits), sizeof bits);
  }
  return tensor;
}

StoredTensor group_index(std::mt19937& random, const Form& form, std::int64_t cols) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(cols));
  std::iota(order.begin(), order.end(), 0);
  if (form.desc_act) std::shuffle(order.begin(), order.end(), random);
  StoredTensor tensor{"I32", {cols}, std::string(static_cast<std::size_t>(4 * cols), '\0')};
  for (std::size_t i = 0; i < order.size(); ++i)
    tensor.as<std::int32_t>()[order[i]] =
        form.group < 0 ? 0 : static_cast<std::int32_t>(static_cast<std::int64_t>(i) / form.group);
  return tensor;
}

bool is_packed_linear(const std::string& name, const StoredTensor& tensor) {
  const bool linear = name.ends_with("_proj.weight") || name.ends_with("_with_mqa.weight");
  return linear && !name.ends_with("eh_proj.weight") && tensor.shape[1] % 32 == 0;
}

/// Experts so wide that a tensor of one has many pages.
TinyCheckpoint wide_experts() {
  constexpr std::int64_t kWidth = 4096;
  TinyCheckpoint tiny(false);
  tiny.config["moe_intermediate_size"] = kWidth;
  for (auto& [name, tensor] : tiny.tensors) {
    if (name.find("experts.") == std::string::npos) continue;
    std::replace(tensor.shape.begin(), tensor.shape.end(), std::int64_t{16}, kWidth);
    tensor.bytes.resize(static_cast<std::size_t>(2 * 160 * kWidth), '\0');
  }
  return tiny;
}

/// Random codes in every linear layer whose inputs are a multiple of 32.
TinyCheckpoint packed(const Form& form, TinyCheckpoint tiny = TinyCheckpoint(false)) {
  const bool awq = form.format == WeightFormat::awq;
  auto& config = tiny.config["quantization_config"];
  config = {{"quant_method", awq ? "awq" : "gptq"}, {"bits", 4}, {"group_size", form.group}};
  if (awq)
    config.update({{"version", "gemm"},
                   {"zero_point", true},
                   {"modules_to_not_convert", {"q_b_proj", "down_proj"}}});
  else
    config.update(
        {{"desc_act", form.desc_act}, {"checkpoint_format", form.v2 ? "gptq_v2" : "gptq"}});
  std::mt19937 random(20250101);
  const auto stored = tiny.tensors;
  for (const auto& [name, tensor] : stored) {
    if (!is_packed_linear(name, tensor)) continue;
    const std::string module = name.substr(0, name.size() - 7);
    const std::int64_t rows = tensor.shape[0];
    const std::int64_t cols = tensor.shape[1];
    const std::int64_t groups = groups_of(form, cols);
    tiny.tensors.erase(name);
    tiny.tensors[module + ".qweight"] =
        awq ? random_words(random, {cols, rows / 8}) : random_words(random, {cols / 8, rows});
    tiny.tensors[module + ".qzeros"] = random_words(random, {groups, rows / 8});
    tiny.tensors[module + ".scales"] = random_scales(random, form, {groups, rows});
    if (!awq) tiny.tensors[module + ".g_idx"] = group_index(random, form, cols);
  }
  return tiny;
}

/// W[row][col] as specification 4.8 defines it.
float value(const Form& form, TinyCheckpoint& tiny, const std::string& module, std::int64_t row,
            std::int64_t col) {
  constexpr int kColumnOfNibble[] = {0, 2, 4, 6, 1, 3, 5, 7};
  const bool awq = form.format == WeightFormat::awq;
  const std::int64_t rows = tiny.tensors[module + ".scales"].shape[1];
  const auto nibble_in_row = [&](const std::string& part, std::int64_t line) {
    const std::uint32_t word =
        tiny.tensors[module + part].as<std::uint32_t>()[line * (rows / 8) + row / 8];
    for (int j = 0; j < 8; ++j)
      if ((awq ? kColumnOfNibble[j] : j) == row % 8) return static_cast<int>(word >> (4 * j) & 15);
    return -1;
  };
  std::int64_t group = form.group < 0 ? 0 : col / form.group;
  int code = 0;
  int zero = 0;
  if (awq) {
    code = nibble_in_row(".qweight", col);
    zero = nibble_in_row(".qzeros", group);
  } else {
    group = tiny.tensors[module + ".g_idx"].as<std::int32_t>()[col];
    const std::uint32_t word =
        tiny.tensors[module + ".qweight"].as<std::uint32_t>()[col / 8 * rows + row];
    code = static_cast<int>(word >> (4 * (col % 8)) & 15);
    zero = nibble_in_row(".qzeros", group) + (form.v2 ? 0 : 1);
  }
  const std::uint16_t bits =
      tiny.tensors[module + ".scales"].as<std::uint16_t>()[group * rows + row];
  const float scale = form.bf16_scales ? bf16_to_f32(bits) : f16_to_f32(bits);
  return static_cast<float>(code - zero) * scale + 0.0f;
}

/// `tiny` with one change.
TinyCheckpoint with(TinyCheckpoint tiny, const std::function<void(TinyCheckpoint&)>& change) {
  change(tiny);
  return tiny;
}

void expect_words(const Error& error, Errc code, const std::vector<std::string>& words) {
  EXPECT_EQ(error.code, code) << error.detail;
  for (const std::string& word : words)
    EXPECT_NE(error.detail.find(word), std::string::npos) << word << " not in: " << error.detail;
}

void expect_refused(const TinyCheckpoint& tiny, Errc code, const std::vector<std::string>& words) {
  TempDir dir;
  tiny.write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_FALSE(checkpoint) << "accepted, expected: " << words.front();
  expect_words(checkpoint.error(), code, words);
}

Checkpoint opened(const std::filesystem::path& dir) {
  auto checkpoint = Checkpoint::open(dir);
  EXPECT_TRUE(checkpoint) << checkpoint.error().detail;
  return *std::move(checkpoint);
}

Expected<RepackedWeight> prepared(const Checkpoint& checkpoint, const std::string& module,
                                  std::int64_t rows, std::int64_t cols) {
  const auto stored = checkpoint.stored(module + ".weight", rows, cols);
  EXPECT_TRUE(stored) << stored.error().detail;
  return RepackedWeight::prepare(*stored, checkpoint.config().quantisation, rows, cols);
}

TEST(TransposedCheckpoint, IsRepackedToTheValuesItIsDefinedToHave) {
  for (const Form& form : kForms) {
    TempDir dir;
    TinyCheckpoint tiny = packed(form);
    tiny.pad = 3;  // tensors at odd offsets
    tiny.write(dir.path());
    const Checkpoint checkpoint = opened(dir.path());
    EXPECT_TRUE(checkpoint.has_mtp());
    for (const auto& [module, rows, cols] :
         std::vector<std::tuple<std::string, std::int64_t, std::int64_t>>{
             {kUp, 16, 160}, {kKvB, 128, 128}, {"model.layers.0.self_attn.o_proj", 160, 64}}) {
      auto copy = prepared(checkpoint, module, rows, cols);
      ASSERT_TRUE(copy) << copy.error().detail;
      const std::int64_t middle = std::min<std::int64_t>(cols, 128);
      if (middle < cols) {
        ASSERT_TRUE(copy->repack({middle, cols}));  // parts in any order
      }
      ASSERT_TRUE(copy->repack({0, middle}));
      const RepackedWeight moved = *std::move(copy);
      EXPECT_EQ(moved.matrix().column_order != nullptr, form.desc_act && cols > form.group)
          << form.name << " " << module;
      EXPECT_EQ(moved.bytes(), rows * cols / 2 + 4 * rows * groups_of(form, cols) +
                                   (moved.matrix().column_order == nullptr ? 0 : 4 * cols));
      std::vector<float> row(static_cast<std::size_t>(cols));
      for (std::int64_t r = 0; r < rows; ++r) {
        dequantise_row(moved.matrix(), r, row);
        for (std::int64_t c = 0; c < cols; ++c)
          ASSERT_EQ(row[static_cast<std::size_t>(c)], value(form, tiny, module, r, c))
              << form.name << " " << module << " row " << r << " column " << c;
      }
      const auto matrix = checkpoint.matrix(module + ".weight", rows, cols);
      ASSERT_FALSE(matrix) << "there is nothing in the file to point to";
      expect_words(matrix.error(), Errc::unsupported, {module + ".qweight", "repacked"});
    }
  }
}

TEST(TransposedCheckpoint, GptqWithoutItsIndexHasItsGroupsInOrder) {
  const Form& form = kForms[3];
  TinyCheckpoint tiny = packed(form);
  TempDir dir;
  with(tiny, [](auto& t) { t.tensors.erase(kUp + ".g_idx"); }).write(dir.path());
  const Checkpoint checkpoint = opened(dir.path());
  auto copy = prepared(checkpoint, kUp, 16, 160);
  ASSERT_TRUE(copy && copy->repack());
  std::vector<float> row(160);
  dequantise_row(copy->matrix(), 11, row);
  for (std::int64_t c = 0; c < 160; ++c)
    EXPECT_EQ(row[static_cast<std::size_t>(c)], value(form, tiny, kUp, 11, c));
}

TEST(TransposedCheckpoint, WhatIsRepackedIsNotKeptOfTheFile) {
  TempDir dir;
  packed(kForms[3], wide_experts()).write(dir.path());
  const Checkpoint checkpoint = opened(dir.path());
  kernels::ComputePool pool({.threads = 2, .jobs_max = 16});
  const kernels::Engine engine{*kernels::select_level("auto"), &pool};
  ASSERT_TRUE(ExpertModel::load(checkpoint, {}, engine, {0, 4}));
  int seen = 0;
  for (const TensorView& tensor : checkpoint.tensors()) {
    if (!tensor.name.starts_with("model.layers.1.mlp.experts.")) continue;
    if (!tensor.name.ends_with(".qweight")) continue;
    const auto [mapped, all] = testing::pages_mapped(tensor);
    ASSERT_GT(all, 70);
    EXPECT_LE(mapped, 32) << tensor.name;  // a fault next to either end maps 16 pages along
    ++seen;
  }
  EXPECT_EQ(seen, 12);
}

TEST(TransposedCheckpoint, LoadsWithEveryByteReported) {
  for (const Form& form : {kForms[0], kForms[5]}) {
    TempDir dir;
    packed(form).write(dir.path());
    const Checkpoint checkpoint = opened(dir.path());
    kernels::ComputePool pool({.threads = 3, .jobs_max = 16});
    const kernels::Engine engine{*kernels::select_level("auto"), &pool};
    LoadProgress progress;
    const auto experts = ExpertModel::load(checkpoint, {}, engine, {0, 4}, &progress);
    ASSERT_TRUE(experts) << experts.error().detail;
    // gate and up [16, 160] of 4 experts: the layer is MoE layer 1.
    const std::int64_t order = form.desc_act ? 4 * 160 : 0;
    EXPECT_EQ(experts->derived_bytes(), 8 * (16 * 80 + 4 * 16 * 2 + order));
    const auto attention = AttentionModel::load(checkpoint, {}, engine, &progress);
    ASSERT_TRUE(attention) << attention.error().detail;
    const auto snapshot = progress.snapshot();
    EXPECT_EQ(snapshot.bytes_done, snapshot.bytes_total);
    EXPECT_EQ(snapshot.layers_done, snapshot.layers_total);
  }
}

/// `tiny`, which is packed, with F32 layers of the values that it stands for.
TinyCheckpoint unpacked(const Form& form, TinyCheckpoint tiny) {
  const TinyCheckpoint plain(false);
  for (const auto& [name, tensor] : plain.tensors) {
    if (!is_packed_linear(name, tensor)) continue;
    const std::string module = name.substr(0, name.size() - 7);
    StoredTensor out{"F32", tensor.shape, {}};
    for (std::int64_t row = 0; row < tensor.shape[0]; ++row)
      for (std::int64_t col = 0; col < tensor.shape[1]; ++col) {
        const float one = value(form, tiny, module, row, col);
        out.bytes.append(reinterpret_cast<const char*>(&one), sizeof one);
      }
    for (const char* part : {".qweight", ".qzeros", ".scales", ".g_idx"})
      tiny.tensors.erase(module + part);
    tiny.tensors[name] = out;
  }
  tiny.config.erase("quantization_config");
  return tiny;
}

TEST(TransposedCheckpoint, ComputesWhatTheF32WeightsItStandsForWould) {
  const std::vector<std::int32_t> tokens{0, 5, 17, 63, 3, 25, 41, 7, 7, 16, 2, 60, 33, 1, 9, 8};
  const auto logits = [&](const Checkpoint& checkpoint, ActivationMode mode, int threads,
                          std::string_view level, std::int64_t chunk) {
    kernels::ComputePool pool({.threads = threads, .jobs_max = 4});
    const kernels::Engine engine{*kernels::select_level(level), &pool};
    return testing::LocalForward(checkpoint, {mode}, engine).logits(tokens, chunk);
  };
  for (const Form& form : kForms) {
    TempDir dir;
    const TinyCheckpoint tiny = packed(form);
    tiny.write(dir / "packed");
    unpacked(form, tiny).write(dir / "plain");
    const Checkpoint stored = opened(dir / "packed");
    const auto got = logits(stored, ActivationMode::f32, 1, "auto", 100);
    const auto want = logits(opened(dir / "plain"), ActivationMode::f32, 1, "auto", 100);
    ASSERT_EQ(got.size(), want.size());
    if (form.desc_act) {  // the same products, added in another order
      const double limit = 1e-4 * testing::standard_deviation(want);  // as the goldens have it
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], limit) << i;
    } else {
      EXPECT_EQ(got, want) << form.name;
    }
    const auto rounded = logits(stored, ActivationMode::bf16, 1, "auto", 100);
    for (const kernels::KernelTable* level : kernels::available_levels())
      EXPECT_EQ(logits(stored, ActivationMode::bf16, 3, level->name, 5), rounded)
          << form.name << " " << level->name;
  }
}

TEST(TransposedCheckpoint, ANumberThatIsNoneIsFoundWhenItIsLoaded) {
  for (const std::uint16_t bits : {0x7c00, 0xfc00, 0x7e01}) {
    TempDir dir;
    with(packed(kForms[0]), [&](auto& t) {
      t.tensors[kUp + ".scales"].template as<std::uint16_t>()[16 + 3] = bits;
    }).write(dir.path());
    const Checkpoint checkpoint = opened(dir.path());
    kernels::ComputePool pool({.threads = 2, .jobs_max = 16});
    const kernels::Engine engine{*kernels::select_level("auto"), &pool};
    const auto experts = ExpertModel::load(checkpoint, {}, engine, {0, 4});
    ASSERT_FALSE(experts);
    expect_words(experts.error(), Errc::malformed,
                 {"model.safetensors: ", kUp + ".scales", "group 1, feature 3", "download"});
    EXPECT_TRUE(ExpertModel::load(checkpoint, {}, engine, {0, 2})) << "expert 2 is another's";
    const auto cast = cast_checkpoint(dir.path(), dir / "out");
    ASSERT_FALSE(cast);
    expect_words(cast.error(), Errc::malformed, {"model.safetensors: ", kUp + ".scales"});
  }
  TempDir dir;
  with(packed(kForms[1]), [&](auto& t) {
    t.tensors[kUp + ".scales"].template as<std::uint16_t>()[5] = f32_to_bf16(0x1p65f);
  }).write(dir.path());
  const Checkpoint checkpoint = opened(dir.path());
  auto copy = prepared(checkpoint, kUp, 16, 160);
  ASSERT_TRUE(copy);
  expect_words(copy->repack().error(), Errc::malformed, {"2^65", "group 0, feature 5"});
}

TEST(TransposedCheckpoint, AnIndexThatFitsNoGroupsIsRefused) {
  const auto refused = [](const std::function<void(std::int32_t*)>& change,
                          const std::vector<std::string>& words) {
    TempDir dir;
    with(packed(kForms[5]), [&](auto& t) {
      change(t.tensors[kUp + ".g_idx"].template as<std::int32_t>());
    }).write(dir.path());
    const Checkpoint checkpoint = opened(dir.path());
    kernels::ComputePool pool({.threads = 2, .jobs_max = 16});
    const kernels::Engine engine{*kernels::select_level("auto"), &pool};
    const auto experts = ExpertModel::load(checkpoint, {}, engine, {0, 4});
    ASSERT_FALSE(experts) << words.front();
    std::vector<std::string> all{"model.safetensors: tensor " + kUp + ".g_idx"};
    all.insert(all.end(), words.begin(), words.end());
    expect_words(experts.error(), Errc::malformed, all);
  };
  refused([](auto* g) { g[7] = 2; }, {"group 2 at 7", "there are 2", "group_size"});
  refused([](auto* g) { g[7] = -1; }, {"group -1 at 7"});
  refused([](auto* g) { std::fill(g, g + 160, 0); }, {"group 0 more than its 96 columns"});
  refused([](auto* g) { std::fill(g, g + 160, 1); }, {"group 1 more than its 64 columns"});
}

TEST(TransposedCheckpoint, TensorsThatAreMissingOrDoNotFit) {
  const auto changed = [](const Form& form, const std::string& part, const StoredTensor& tensor) {
    return with(packed(form), [&](auto& t) { t.tensors[kUp + part] = tensor; });
  };
  const Form& awq = kForms[0];
  const Form& gptq = kForms[3];
  for (const Form& form : {awq, gptq})
    for (const char* part : {".qzeros", ".scales"})
      expect_refused(with(packed(form), [&](auto& t) { t.tensors.erase(kUp + part); }),
                     Errc::not_found, {kUp + part + " is missing", kUp + ".qweight"});
  expect_refused(with(packed(kForms[5]), [](auto& t) { t.tensors.erase(kUp + ".g_idx"); }),
                 Errc::not_found, {kUp + ".g_idx is missing"});
  expect_refused(with(packed(awq), [](auto& t) { t.tensors.erase(kUp + ".qweight"); }),
                 Errc::not_found, {kUp + ".weight is missing"});
  expect_refused(changed(awq, ".qweight", {"I32", {20, 16}, std::string(1280, 'x')}),
                 Errc::malformed, {kUp + ".qweight", "[20, 16]", "[160, 2]"});
  expect_refused(changed(gptq, ".qweight", {"I32", {160, 2}, std::string(1280, 'x')}),
                 Errc::malformed, {kUp + ".qweight", "[160, 2]", "[20, 16]"});
  expect_refused(changed(gptq, ".qweight", {"U8", {20, 16}, std::string(320, 'x')}),
                 Errc::unsupported, {kUp + ".qweight", "U8", "I32"});
  expect_refused(changed(awq, ".scales", {"F16", {5, 16}, std::string(160, '\x18')}),
                 Errc::malformed, {kUp + ".scales", "[5, 16]", "[2, 16]"});
  expect_refused(changed(awq, ".scales", {"F32", {2, 16}, std::string(128, '\x18')}),
                 Errc::unsupported, {kUp + ".scales", "F32", "F16 or BF16"});
  expect_refused(changed(awq, ".qzeros", {"I32", {2, 16}, std::string(128, 'x')}), Errc::malformed,
                 {kUp + ".qzeros", "[2, 16]", "[2, 2]"});
  expect_refused(changed(gptq, ".g_idx", {"I32", {16}, std::string(64, '\0')}), Errc::malformed,
                 {kUp + ".g_idx", "[16]", "[160]"});
  expect_refused(changed(gptq, ".weight", {"BF16", {16, 160}, std::string(5120, '\x3c')}),
                 Errc::malformed, {kUp + ".weight is stored twice", kUp + ".qweight"});
  const std::string down = "model.layers.1.mlp.experts.2.down_proj";  // [160, 16]
  expect_refused(with(packed(gptq),
                      [&](auto& t) {
                        t.tensors.erase(down + ".weight");
                        t.tensors[down + ".qweight"] = {"I32", {2, 160}, std::string(1280, 'x')};
                      }),
                 Errc::unsupported,
                 {down + ".qweight", "[160, 16]", "multiple of 32 inputs", "leave this one out"});
}

TEST(TransposedCheckpoint, IsWhatConfigJsonSays) {
  expect_refused(with(packed(kForms[0]), [](auto& t) { t.config.erase("quantization_config"); }),
                 Errc::malformed, {"qweight", "packed as AWQ and GPTQ", "says plain", "download"});
  expect_refused(
      with(packed(kForms[0]),
           [](auto& t) {
             t.config["quantization_config"]["modules_to_not_convert"].push_back("o_proj");
           }),
      Errc::malformed, {"o_proj.qweight", "is packed", "modules_to_not_convert", "\"o_proj\""});
  expect_refused(with(packed(kForms[0]),
                      [](auto& t) {
                        t.config["quantization_config"]["modules_to_not_convert"] = {"q_b_proj"};
                      }),
                 Errc::malformed, {"down_proj.weight", "not packed", "modules_to_not_convert"});
  expect_refused(with(packed(kForms[0]),
                      [](auto& t) { t.config["quantization_config"]["quant_method"] = "gptq"; }),
                 Errc::malformed, {"qweight", "has shape"});
}

TEST(TransposedCheckpoint, InspectCountsWhatACheckpointInBf16Has) {
  TempDir dir;
  TinyCheckpoint(false).write(dir / "plain");
  const auto plain = inspect(opened(dir / "plain"));
  ASSERT_TRUE(plain);
  for (const Form& form : {kForms[0], kForms[5]}) {
    TempDir one;
    packed(form).write(one.path());
    const auto page = inspect(opened(one.path()));
    ASSERT_TRUE(page) << page.error().detail;
    EXPECT_EQ(page->total.parameters, plain->total.parameters);
    EXPECT_EQ(page->experts.parameters, plain->experts.parameters);
    EXPECT_EQ(page->unused.tensors, 0u);
    const std::string text = to_text(*page);
    EXPECT_NE(text.find("INT4 with zero points"), std::string::npos) << text;
    EXPECT_EQ(text.find("desc_act") != std::string::npos, form.desc_act) << text;
  }
}

TEST(TransposedCheckpoint, IsNotQuantisedAgain) {
  for (const Form& form : {kForms[0], kForms[3]}) {
    TempDir dir;
    packed(form).write(dir / "in");
    const auto cast = cast_checkpoint(dir / "in", dir / "out", {.to = WeightFormat::int4_groups});
    ASSERT_FALSE(cast);
    expect_words(cast.error(), Errc::invalid_argument,
                 {"quantised already (" + std::string(to_string(form.format)) + ")"});
  }
}

}  // namespace
}  // namespace troupe::model
