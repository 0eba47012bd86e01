// Dequantises FP8 matrices to BF16, a band of 128 rows at a time.
#include "model/checkpoint/cast_shard.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "core/dtype.hpp"
#include "model/checkpoint/files.hpp"
#include "model/checkpoint/output_file.hpp"
#include "model/config/json_value.hpp"

namespace troupe::model {
namespace {

constexpr std::string_view kScaleSuffix = "_scale_inv";
constexpr std::size_t kStepBytes = 1 << 20;

bool is_cast(const TensorView& tensor) { return tensor.dtype == DType::f8_e4m3; }

/// Writes through a buffer of about kStepBytes and reports each flush.
class SteppedWriter {
 public:
  SteppedWriter(OutputFile& file, const CastStep& step) : file_(file), step_(step) {
    buffer_.reserve(kStepBytes);
  }

  Expected<void> write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::size_t take = std::min(bytes.size(), kStepBytes - buffer_.size());
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.begin() + static_cast<long>(take));
      bytes = bytes.subspan(take);
      if (buffer_.size() < kStepBytes) continue;
      if (const auto flushed = flush(); !flushed) return flushed;
    }
    return {};
  }

  Expected<void> flush() {
    if (const auto written = file_.write(buffer_); !written) return written;
    const bool go_on = step_(buffer_.size());
    buffer_.clear();
    return go_on ? Expected<void>() : unexpected(Errc::cancelled, "the cast was stopped");
  }

 private:
  OutputFile& file_;
  const CastStep& step_;
  std::vector<std::byte> buffer_;
};

/// BF16 of every code times `scale`; the product is rounded to F32 first (4.2, 4.5).
using CodeTable = std::array<Bf16, 256>;

void fill_table(float scale, CodeTable& table) {
  for (std::size_t code = 0; code < table.size(); ++code)
    table[code] = f32_to_bf16(e4m3_to_f32(static_cast<std::uint8_t>(code)) * scale);
}

Expected<void> write_cast(const kernels::WeightMatrix& w, SteppedWriter& writer) {
  const auto cols = static_cast<std::size_t>(w.cols);
  const auto blocks = static_cast<std::size_t>(kernels::scale_blocks(w.cols));
  std::vector<CodeTable> tables(blocks);  // of the current band: one scale per 128 columns
  std::vector<Bf16> out(cols);
  for (std::int64_t row = 0; row < w.rows; ++row) {
    if (row % kernels::kScaleBlock == 0)
      for (std::size_t b = 0; b < blocks; ++b)
        fill_table(w.scales[static_cast<std::size_t>(row / kernels::kScaleBlock) * blocks + b],
                   tables[b]);
    const std::byte* codes = w.data + static_cast<std::size_t>(row) * cols;
    for (std::size_t col = 0; col < cols; ++col)
      out[col] = tables[col / kernels::kScaleBlock][std::to_integer<std::size_t>(codes[col])];
    if (const auto written = writer.write(std::as_bytes(std::span(out))); !written) return written;
  }
  return {};
}

Expected<void> write_tensor(const Checkpoint& checkpoint, const TensorView& tensor,
                            SteppedWriter& writer) {
  if (!is_cast(tensor)) return writer.write({tensor.data, tensor.bytes});
  const auto matrix = checkpoint.matrix(tensor.name, tensor.shape[0], tensor.shape[1]);
  if (!matrix) return unexpected(matrix.error());
  if (const auto numbers = check_codes(tensor.name, *matrix); !numbers)
    return at(tensor.file, numbers.error());
  return write_cast(*matrix, writer);
}

JsonValue entry_value(const TensorView& tensor, std::uint64_t begin) {
  JsonValue::Array shape;
  for (const std::int64_t dim : tensor.shape) shape.push_back({dim});
  const auto at = [](std::uint64_t offset) { return JsonValue{static_cast<std::int64_t>(offset)}; };
  const DType dtype = is_cast(tensor) ? DType::bf16 : tensor.dtype;
  return {JsonValue::Object{
      {"dtype", {std::string(to_string(dtype))}},
      {"shape", {shape}},
      {"data_offsets", {JsonValue::Array{at(begin), at(begin + cast_bytes(tensor))}}}}};
}

/// Length prefix and header, padded with spaces to a multiple of 8 as the reference writer does.
std::string head_of(const std::vector<const TensorView*>& tensors) {
  JsonValue::Object members{{"__metadata__", {JsonValue::Object{{"format", {std::string("pt")}}}}}};
  std::uint64_t begin = 0;
  for (const TensorView* tensor : tensors) {
    members.push_back({std::string(tensor->name), entry_value(*tensor, begin)});
    begin += cast_bytes(*tensor);
  }
  std::string text = to_json(JsonValue{members});
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string head(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) head[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  return head + text;
}

void complete(ShardPlan& plan, bool has_scales) {
  std::ranges::sort(plan.tensors, {}, [](const TensorView* tensor) { return tensor->data; });
  plan.verbatim = !has_scales && std::ranges::none_of(plan.tensors, [](const TensorView* tensor) {
    return is_cast(*tensor);
  });
  if (plan.verbatim) {
    const auto bytes = plan.source->header_bytes();
    plan.head.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    plan.file_bytes = bytes.size();
    for (const SafetensorsEntry& entry : plan.source->header().entries)
      plan.file_bytes += entry.end - entry.begin;
    return;
  }
  plan.head = head_of(plan.tensors);
  plan.file_bytes = plan.head.size() + plan.tensor_bytes();
}

}  // namespace

std::uint64_t ShardPlan::tensor_bytes() const {
  std::uint64_t bytes = 0;
  for (const TensorView* tensor : tensors) bytes += cast_bytes(*tensor);
  return bytes;
}

std::uint64_t cast_bytes(const TensorView& tensor) {
  return is_cast(tensor) ? 2 * tensor.bytes : tensor.bytes;
}

Expected<std::vector<ShardPlan>> plan_shards(const Checkpoint& checkpoint) {
  std::vector<ShardPlan> plans(checkpoint.files().size());
  std::vector<bool> has_scales(plans.size(), false);
  std::map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    plans[i].name = checkpoint.file_names()[i];
    plans[i].source = &checkpoint.files()[i];
    index[plans[i].name] = i;
  }
  for (const TensorView& tensor : checkpoint.tensors()) {
    const std::size_t i = index.at(tensor.file);
    if (tensor.name.ends_with(kScaleSuffix)) {
      has_scales[i] = true;
      continue;
    }
    if (is_cast(tensor) && tensor.shape.size() != 2)
      return unexpected(Errc::malformed, "tensor " + std::string(tensor.name) + " of shape " +
                                             to_string(tensor.shape) +
                                             " is F8_E4M3, but only matrices have scales");
    plans[i].tensors.push_back(&tensor);
  }
  for (std::size_t i = 0; i < plans.size(); ++i) complete(plans[i], has_scales[i]);
  std::erase_if(plans, [](const ShardPlan& plan) { return plan.tensors.empty(); });
  return plans;
}

bool is_finished(const ShardPlan& plan, const std::filesystem::path& dir) {
  std::error_code missing;
  if (std::filesystem::file_size(dir / plan.name, missing) != plan.file_bytes || missing)
    return false;
  const auto file = SafetensorsFile::open(dir / plan.name);
  if (!file) return false;
  const auto head = file->header_bytes();
  return head.size() == plan.head.size() &&
         std::memcmp(head.data(), plan.head.data(), head.size()) == 0;
}

Expected<void> write_shard(const Checkpoint& checkpoint, const ShardPlan& plan,
                           const std::filesystem::path& dir, const CastStep& step) {
  Expected<OutputFile> file = OutputFile::create(dir / plan.name);
  if (!file) return unexpected(file.error());
  SteppedWriter writer(*file, step);
  Expected<void> done = writer.write(std::as_bytes(std::span(plan.head)));
  if (plan.verbatim) {
    for (const SafetensorsEntry& entry : plan.source->header().entries)
      if (done) done = writer.write(plan.source->data(entry));
  } else {
    for (const TensorView* tensor : plan.tensors)
      if (done) done = write_tensor(checkpoint, *tensor, writer);
  }
  if (done) done = writer.flush();
  if (done) done = checkpoint.check_sizes();
  if (done) done = file->finish();
  plan.source->forget_pages();
  return done;
}

}  // namespace troupe::model
