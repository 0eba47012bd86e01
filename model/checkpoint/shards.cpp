// Follows the index to the shards and builds one view per tensor.
#include "model/checkpoint/shards.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "model/checkpoint/files.hpp"
#include "model/config/json_value.hpp"

namespace troupe::model {
namespace {

constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::string_view kSingle = "model.safetensors";
constexpr std::uint64_t kIndexBytesMax = 256 << 20;  // V3's has 9 MB for 92k tensors

struct Placed {
  std::string shard;
  std::string tensor;
  friend auto operator<=>(const Placed&, const Placed&) = default;
};

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

Expected<std::vector<Placed>> read_index(const std::filesystem::path& file) {
  const Expected<std::string> text = read_text_file(file, kIndexBytesMax);
  if (!text) return unexpected(text.error());
  const Expected<JsonValue> root = parse_json(*text);
  if (!root) return at(file, root.error());
  const JsonValue* map = root->find("weight_map");
  if (map == nullptr || map->object() == nullptr || map->object()->empty())
    return at(file, {Errc::malformed, "weight_map is missing, empty or not an object"});
  std::vector<Placed> placed;
  for (const JsonMember& member : *map->object()) {
    const std::string* shard = member.value.string();
    if (shard == nullptr || !is_plain_file_name(*shard))
      return at(file, {Errc::malformed, "tensor " + quote_json(member.key) + " is placed in " +
                                            to_json(member.value) +
                                            ", which is not the name of a file in this directory"});
    placed.push_back({*shard, member.key});
  }
  std::sort(placed.begin(), placed.end());
  return placed;
}

TensorView view_of(const SafetensorsFile& file, const SafetensorsEntry& entry,
                   std::string_view file_name) {
  const auto data = file.data(entry);
  return {.name = entry.name,
          .dtype = entry.dtype,
          .shape = entry.shape,
          .data = data.data(),
          .bytes = data.size(),
          .file = file_name};
}

void sort_by_name(std::vector<TensorView>& tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
}

Expected<ShardSet> open_single(const std::filesystem::path& dir) {
  Expected<SafetensorsFile> file = SafetensorsFile::open(dir / kSingle);
  if (!file) return unexpected(file.error());
  ShardSet set;
  set.names.emplace_back(kSingle);
  set.files.push_back(*std::move(file));
  for (const SafetensorsEntry& entry : set.files.front().header().entries)
    set.tensors.push_back(view_of(set.files.front(), entry, set.names.front()));
  sort_by_name(set.tensors);
  return set;
}

/// Opens shard `name`, of which `first` is the first tensor.
Expected<SafetensorsFile> open_shard(const std::filesystem::path& dir, const Placed& first) {
  Expected<SafetensorsFile> file = SafetensorsFile::open(dir / first.shard);
  if (file || file.error().code != Errc::not_found) return file;
  return unexpected(Errc::not_found, "the file " + (dir / first.shard).string() +
                                         " is missing; the index says it " + "holds tensor " +
                                         first.tensor + " (among others). Complete the download.");
}

/// Appends the views of shard `file_name`'s tensors, which are placed[from, to).
Expected<void> add_views(std::span<const Placed> placed, const SafetensorsFile& file,
                         std::string_view file_name, std::vector<TensorView>& tensors) {
  std::unordered_map<std::string_view, const SafetensorsEntry*> entries;
  for (const SafetensorsEntry& entry : file.header().entries) entries[entry.name] = &entry;
  for (const Placed& one : placed) {
    const auto found = entries.find(one.tensor);
    if (found == entries.end())
      return unexpected(Errc::malformed, file.path() + ": lacks tensor " + one.tensor +
                                             ", which the index places there");
    tensors.push_back(view_of(file, *found->second, file_name));
  }
  return {};
}

Expected<ShardSet> open_indexed(const std::filesystem::path& dir) {
  const Expected<std::vector<Placed>> placed = read_index(dir / kIndex);
  if (!placed) return unexpected(placed.error());
  std::vector<std::span<const Placed>> by_shard;
  for (auto from = placed->begin(); from != placed->end();) {
    const auto to = std::find_if(from, placed->end(),
                                 [&](const Placed& one) { return one.shard != from->shard; });
    by_shard.emplace_back(from, to);
    from = to;
  }
  ShardSet set;
  for (const auto& group : by_shard) set.names.push_back(group.front().shard);
  for (std::size_t i = 0; i < by_shard.size(); ++i) {
    Expected<SafetensorsFile> file = open_shard(dir, by_shard[i].front());
    if (!file) return unexpected(file.error());
    set.files.push_back(*std::move(file));
    const auto added = add_views(by_shard[i], set.files.back(), set.names[i], set.tensors);
    if (!added) return unexpected(added.error());
  }
  sort_by_name(set.tensors);
  return set;
}

}  // namespace

std::string to_string(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

Expected<ShardSet> open_shards(const std::filesystem::path& dir) {
  std::error_code ignored;
  if (std::filesystem::exists(dir / kIndex, ignored)) return open_indexed(dir);
  if (std::filesystem::exists(dir / kSingle, ignored)) return open_single(dir);
  return unexpected(Errc::not_found, dir.string() + ": holds neither " + std::string(kIndex) +
                                         " nor " + std::string(kSingle) +
                                         "; Troupe reads safetensors checkpoints only");
}

}  // namespace troupe::model
