// Loading brings a role's weights into memory, and leaves those of others where they are.
#include "model/weight_loader.hpp"

#include <gtest/gtest.h>

#include "model/expert_model.hpp"
#include "tests/support/mapped_pages.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

using testing::pages_mapped;
using testing::TempDir;
using testing::TinyCheckpoint;

/// Experts 0 and 1 in one file, 2 and 3 in another, each behind more bytes than a fault maps along.
void write_apart(TinyCheckpoint& tiny, const TempDir& dir) {
  for (const auto& [name, tensor] : tiny.tensors) {
    const auto at = name.find(".mlp.experts.");
    if (at == std::string::npos) continue;
    const bool second = name[at + 13] >= '2';
    tiny.shard_of[name] = second ? "b.safetensors" : "a.safetensors";
  }
  for (const char* file : {"a", "b"}) {
    const std::string name = std::string("aaa.unused.") + file;
    tiny.tensors[name] = {"U8", {1 << 20}, std::string(1 << 20, 'x')};
    tiny.shard_of[name] = std::string(file) + ".safetensors";
  }
  tiny.write(dir.path());
}

TEST(WeightLoader, AnExpertShardPopulatesItsExpertsOnly) {
  TinyCheckpoint tiny;
  const TempDir dir;
  write_apart(tiny, dir);
  const auto checkpoint = Checkpoint::open(dir.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  kernels::ComputePool pool({2, 16});
  const kernels::Engine engine{*kernels::select_level("auto"), &pool};
  for (const SafetensorsFile& file : checkpoint->files()) file.mapping().forget_pages();
  ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, engine, {0, 2}));
  for (const TensorView& tensor : checkpoint->tensors()) {
    const bool weight =
        tensor.name.find(".mlp.experts.") != std::string::npos && tensor.name.ends_with(".weight");
    if (!weight || !tensor.name.starts_with("model.layers.1."))
      continue;  // layer 2 is no MoE layer
    const bool own = tensor.file == "a.safetensors";
    const auto [mapped, all] = pages_mapped(tensor);
    EXPECT_EQ(mapped, own ? all : 0) << tensor.name;
  }
}

TEST(WeightLoader, OfWhatIsMappedAProcessWithAPartKeepsItsOwn) {
  TinyCheckpoint tiny;
  const TempDir dir;
  write_apart(tiny, dir);
  const auto checkpoint = Checkpoint::open(dir.path(), {.sparing = true});
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  kernels::ComputePool pool({2, 16});
  const kernels::Engine engine{*kernels::select_level("auto"), &pool};
  for (const SafetensorsFile& file : checkpoint->files()) populate(file.mapping().bytes());
  ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, engine, {0, 2}));
  for (const TensorView& tensor : checkpoint->tensors()) {
    const auto [mapped, all] = pages_mapped(tensor);
    const bool own = tensor.file == "a.safetensors" && tensor.name.ends_with(".weight") &&
                     tensor.name.starts_with("model.layers.1.mlp.experts.");
    if (own) {
      EXPECT_EQ(mapped, all) << tensor.name;
    } else if (tensor.name.starts_with("aaa.unused.")) {
      EXPECT_LE(mapped, 1) << tensor.name << ": a page may end in it that begins in another";
    }
  }
}

TEST(WeightLoader, TheNextRoleOfAProcessLeavesTheFirstWhatItHas) {
  TinyCheckpoint tiny;
  const TempDir dir;
  write_apart(tiny, dir);
  const auto checkpoint = Checkpoint::open(dir.path(), {.sparing = true});
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  kernels::ComputePool pool({2, 16});
  const kernels::Engine engine{*kernels::select_level("auto"), &pool};
  ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, engine, {0, 2}));
  ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, engine, {2, 4}));
  for (const TensorView& tensor : checkpoint->tensors()) {
    if (!tensor.name.starts_with("model.layers.1.mlp.experts.") ||
        !tensor.name.ends_with(".weight"))
      continue;
    const auto [mapped, all] = pages_mapped(tensor);
    EXPECT_EQ(mapped, all) << tensor.name;
  }
}

TEST(WeightLoader, PopulatingWhatCannotBeReadIsHarmless) {
  populate({});
  const TempDir dir;
  const auto path = dir.path() / "f";
  testing::write_bytes(path, std::string(1 << 16, 'x'));
  const auto file = MappedFile::open(path);
  ASSERT_TRUE(file) << file.error().detail;
  std::filesystem::resize_file(path, 1);
  populate(file->bytes());  // what is behind the end is a SIGBUS to a reader
  populate(file->bytes().subspan(1, 10));
}

}  // namespace
}  // namespace troupe::model
