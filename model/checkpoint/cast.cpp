// Runs a cast: the weight files, the index, the other files, config.json.
#include "model/checkpoint/cast.hpp"

#include <algorithm>
#include <map>

#include "model/checkpoint/cast_shard.hpp"
#include "model/checkpoint/cast_state.hpp"
#include "model/checkpoint/checkpoint.hpp"
#include "model/checkpoint/files.hpp"
#include "model/checkpoint/output_file.hpp"
#include "model/config/json_value.hpp"

namespace troupe::model {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConfig = "config.json";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::string_view kQuantisation = "quantization_config";
constexpr std::uint64_t kTextBytesMax = 256 << 20;

Unexpected out_error(const fs::path& out, const std::string& why) {
  return unexpected(Errc::invalid_argument, out.string() + " " + why);
}

std::string format_of(const CastOptions& options) {
  std::string format(options.to == WeightFormat::plain ? "bf16" : to_string(options.to));
  if (options.to == WeightFormat::int4_groups && options.int4_layers == Int4Layers::all)
    format += "-all";
  return format;
}

Expected<void> check_space(const fs::path& out, std::uint64_t needed) {
  std::error_code error;
  const fs::space_info space = fs::space(out, error);
  if (error || space.available >= needed) return {};
  return unexpected(Errc::resource_exhausted,
                    "the disk of " + out.string() + " has " + std::to_string(space.available) +
                        " bytes free, but the cast needs " + std::to_string(needed) + " more");
}

/// The index of the cast: every tensor with its file, and the sum of their bytes.
std::string index_text(const std::vector<ShardPlan>& plans) {
  std::map<std::string_view, std::string_view> placed;
  std::uint64_t bytes = 0;
  for (const ShardPlan& plan : plans) {
    bytes += plan.tensor_bytes();
    for (const CastTensor& tensor : plan.tensors)
      for (const OutputTensor& output : tensor.outputs) placed[output.name] = plan.name;
  }
  JsonValue::Object map;
  for (const auto& [tensor, file] : placed)
    map.push_back({std::string(tensor), {std::string(file)}});
  const JsonValue total{static_cast<std::int64_t>(bytes)};
  return to_json(
             JsonValue{JsonValue::Object{{"metadata", {JsonValue::Object{{"total_size", total}}}},
                                         {"weight_map", {map}}}},
             2) +
         "\n";
}

Expected<void> write_index(const fs::path& in, const fs::path& out,
                           const std::vector<ShardPlan>& plans) {
  const Expected<fs::file_type> index = file_type_of(in / kIndex);
  if (!index) return unexpected(index.error());
  if (*index == fs::file_type::not_found) return {};
  if (std::ranges::all_of(plans, &ShardPlan::verbatim))
    return copy_file_durably(in / kIndex, out / kIndex);
  return write_file(out / kIndex, index_text(plans));
}

Expected<void> write_config(const fs::path& in, const fs::path& out, const CastOptions& options) {
  const Expected<std::string> text = read_text_file(in / kConfig, kTextBytesMax);
  if (!text) return unexpected(text.error());
  Expected<JsonValue> config = parse_json(*text);
  if (!config) return at(in / kConfig, config.error());
  const JsonValue quantisation = quantisation_json(options.to, options.int4_layers);
  if (config->find(kQuantisation) == nullptr && quantisation.is_null())
    return write_file(out / kConfig, *text);
  auto& members = std::get<JsonValue::Object>(config->data);
  std::erase_if(members, [](const JsonMember& member) { return member.key == kQuantisation; });
  if (!quantisation.is_null()) members.push_back({std::string(kQuantisation), quantisation});
  return write_file(out / kConfig, to_json(*config, 2) + "\n");
}

/// Tokenizer, templates, licence and so on: regular files (or links to them) at the top of `in`.
Expected<void> copy_other_files(const fs::path& in, const fs::path& out) {
  std::error_code error;
  for (fs::directory_iterator it(in, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (!it->is_regular_file(ignored) || name.starts_with('.') || name == kConfig ||
        name == kIndex || name.ends_with(".safetensors") || name.ends_with(".partial"))
      continue;
    if (const auto copied = copy_file_durably(it->path(), out / name); !copied) return copied;
  }
  if (error) return unexpected(os_error("read", in, error.value()));
  return {};
}

void count_encoded(const ShardPlan& plan, CastReport& report) {
  for (const CastTensor& tensor : plan.tensors) {
    if (tensor.encoding == Encoding::copy) continue;
    ++(tensor.encoding == Encoding::bf16 ? report.tensors_cast : report.tensors_quantised);
  }
}

Expected<CastReport> cast_shards(const Checkpoint& checkpoint, const std::vector<ShardPlan>& plans,
                                 const fs::path& out, const CastOptions& options) {
  CastReport report;
  std::vector<const ShardPlan*> to_write;
  std::uint64_t done = 0;
  std::uint64_t needed = 0;
  for (const ShardPlan& plan : plans) {
    report.bytes_total += plan.file_bytes;
    if (is_finished(plan, out)) {
      ++report.files_kept;
      done += plan.file_bytes;
    } else {
      to_write.push_back(&plan);
      needed += plan.file_bytes;
    }
  }
  if (const auto room = check_space(out, needed); !room) return unexpected(room.error());
  const CastStep step = [&](std::uint64_t bytes) {
    done += bytes;
    if (options.progress) options.progress(done, report.bytes_total);
    return !(options.stop && options.stop());
  };
  for (const ShardPlan* plan : to_write) {
    const auto written = write_shard(checkpoint, *plan, out, step);
    if (!written) return unexpected(written.error());
    ++report.files_written;
    count_encoded(*plan, report);
  }
  return report;
}

}  // namespace

Expected<CastReport> cast_checkpoint(const fs::path& in, const fs::path& out,
                                     const CastOptions& options) {
  const Expected<fs::file_type> there = file_type_of(out);
  if (!there) return unexpected(there.error());
  std::error_code error;
  if (*there != fs::file_type::not_found && fs::equivalent(in, out, error))
    return out_error(out, "is the directory of the input; name another one");
  const Expected<Checkpoint> checkpoint = Checkpoint::open(in);
  if (!checkpoint) return unexpected(checkpoint.error());
  const WeightFormat from = checkpoint->config().quantisation.format;
  if (options.to != WeightFormat::plain && from != WeightFormat::plain &&
      from != WeightFormat::fp8_blocks)
    return unexpected(Errc::invalid_argument, in.string() + " is quantised already (" +
                                                  std::string(to_string(from)) +
                                                  "); quantise the FP8 or BF16 form of this model");
  const Expected<std::vector<ShardPlan>> plans =
      plan_shards(*checkpoint, options.to, options.int4_layers);
  if (!plans) return unexpected(plans.error());
  const Expected<std::string> state = cast_state(*checkpoint, format_of(options));
  if (!state) return unexpected(state.error());
  if (const auto ready = prepare_cast_output(out, *state); !ready) return unexpected(ready.error());
  Expected<CastReport> report = cast_shards(*checkpoint, *plans, out, options);
  if (!report) return report;
  // config.json comes last: a directory without it is no model.
  Expected<void> rest = write_index(in, out, *plans);
  if (rest) rest = copy_other_files(in, out);
  if (rest) rest = write_config(in, out, options);
  if (!rest) return unexpected(rest.error());
  return report;
}

}  // namespace troupe::model
