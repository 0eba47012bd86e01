// Loading brings a role's weights into memory, and leaves those of others where they are.
#include "model/weight_loader.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "model/expert_model.hpp"
#include "tests/support/mapped_pages.hpp"
#include "tests/support/tiny_checkpoint.hpp"

namespace troupe::model {
namespace {

using testing::pages_mapped;
using testing::TempDir;
using testing::TinyCheckpoint;

/// Experts 0 and 1 in one file, 2 and 3 in another, each behind more bytes than a fault maps along;
/// and what loads them.
struct FilesApart {
  FilesApart() {
    TinyCheckpoint tiny;
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
  TempDir dir;
  kernels::ComputePool pool{{2, 16}};
  kernels::Engine engine{*kernels::select_level("auto"), &pool};
};

bool is_expert_weight(const TensorView& tensor) {  // layer 2 is no MoE layer
  return tensor.name.starts_with("model.layers.1.mlp.experts.") && tensor.name.ends_with(".weight");
}

TEST(WeightLoader, AnExpertShardPopulatesItsExpertsOnly) {
  const FilesApart files;
  const auto checkpoint = Checkpoint::open(files.dir.path());
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  for (const SafetensorsFile& file : checkpoint->files()) file.mapping().forget_pages();
  ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, files.engine, {0, 2}));
  for (const TensorView& tensor : checkpoint->tensors()) {
    if (!is_expert_weight(tensor)) continue;
    const bool own = tensor.file == "a.safetensors";
    const auto [mapped, all] = pages_mapped(tensor);
    EXPECT_EQ(mapped, own ? all : 0) << tensor.name;
  }
}

TEST(WeightLoader, OfWhatIsMappedAProcessWithAPartKeepsItsOwn) {
  const FilesApart files;
  const auto checkpoint = Checkpoint::open(files.dir.path(), {.sparing = true});
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  for (const SafetensorsFile& file : checkpoint->files()) populate(file.mapping().bytes());
  ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, files.engine, {0, 2}));
  for (const TensorView& tensor : checkpoint->tensors()) {
    const auto [mapped, all] = pages_mapped(tensor);
    const bool own = tensor.file == "a.safetensors" && is_expert_weight(tensor);
    if (own) {
      EXPECT_EQ(mapped, all) << tensor.name;
    } else if (tensor.name.starts_with("aaa.unused.")) {
      EXPECT_LE(mapped, 1) << tensor.name << ": a page may end in it that begins in another";
    }
  }
}

TEST(WeightLoader, TheNextRoleOfAProcessLeavesTheFirstWhatItHas) {
  const FilesApart files;
  const auto checkpoint = Checkpoint::open(files.dir.path(), {.sparing = true});
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, files.engine, {0, 2}));
  ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, files.engine, {2, 4}));
  for (const TensorView& tensor : checkpoint->tensors()) {
    if (!is_expert_weight(tensor)) continue;
    const auto [mapped, all] = pages_mapped(tensor);
    EXPECT_EQ(mapped, all) << tensor.name;
  }
}

/// What an expert's weights are, one after the other.
std::string weights_of(const Checkpoint& checkpoint, std::string_view file) {
  std::string all;
  for (const TensorView& tensor : checkpoint.tensors())
    if (tensor.file == file && is_expert_weight(tensor))
      all.append(reinterpret_cast<const char*>(tensor.data), tensor.bytes);
  return all;
}

/// Zeros in place of all bytes: what is mapped shows them, a copy does not.
void clear_file(const std::filesystem::path& path) {
  const std::string zeros(std::filesystem::file_size(path), '\0');
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out) << zeros;
}

TEST(WeightLoader, WhereWeightsAreCopiedTheFileIsReadNoMore) {
  for (const bool sparing : {false, true}) {
    const FilesApart files;
    LoadProgress progress;
    const auto checkpoint =
        Checkpoint::open(files.dir.path(), {.copied = true, .sparing = sparing});
    ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
    const std::string first = weights_of(*checkpoint, "a.safetensors");
    const std::string second = weights_of(*checkpoint, "b.safetensors");
    ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, files.engine, {0, 2}, &progress));
    const auto counted = progress.snapshot();
    EXPECT_EQ(counted.bytes_done, counted.bytes_total);
    EXPECT_GE(counted.bytes_total, 2 * first.size()) << "made, then looked through";
    ASSERT_TRUE(ExpertModel::load(*checkpoint, {}, files.engine, {2, 3}));
    for (const char* file : {"a.safetensors", "b.safetensors"}) clear_file(files.dir.path() / file);
    EXPECT_TRUE(weights_of(*checkpoint, "a.safetensors") == first);
    const std::string now = weights_of(*checkpoint, "b.safetensors");
    EXPECT_TRUE(now.starts_with(second.substr(0, second.size() / 2))) << "expert 2";
    EXPECT_FALSE(now == second) << "nobody asked for expert 3";
  }
}

TEST(WeightLoader, AFileThatIsCutShortCannotBeCopied) {
  const FilesApart files;
  const auto checkpoint = Checkpoint::open(files.dir.path(), {.copied = true});
  ASSERT_TRUE(checkpoint) << checkpoint.error().detail;
  // Its last page stays, so that what is read of the mapping before is there.
  const auto path = files.dir.path() / "a.safetensors";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  const auto loaded = ExpertModel::load(*checkpoint, {}, files.engine, {0, 2});
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Errc::truncated);
  EXPECT_NE(loaded.error().detail.find("a.safetensors"), std::string::npos);
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
