// Writes tensors as they are or encoded anew, up to 128 rows at a time.
#include "model/checkpoint/cast_shard.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "core/dtype.hpp"
#include "model/checkpoint/dequantise.hpp"
#include "model/checkpoint/files.hpp"
#include "model/checkpoint/output_file.hpp"
#include "model/checkpoint/quantise_rows.hpp"
#include "model/checkpoint/repacked_weight.hpp"
#include "model/checkpoint/transposed_weight.hpp"

namespace troupe::model {
namespace {

constexpr std::size_t kStepBytes = 1 << 20;

/// Writes through a buffer of kStepBytes, and reports as often as that many bytes have come.
class SteppedWriter {
 public:
  SteppedWriter(OutputFile& file, const CastStep& step) : file_(file), step_(step) {
    buffer_.reserve(kStepBytes);
  }

  /// `bytes` at `offset` of the file; what follows the bytes before needs no write of its own.
  Expected<void> write(std::uint64_t offset, std::span<const std::byte> bytes) {
    if (offset != begin_ + buffer_.size())
      if (const auto drained = drain(offset); !drained) return drained;
    while (!bytes.empty()) {
      const std::size_t take = std::min(bytes.size(), kStepBytes - buffer_.size());
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.begin() + static_cast<long>(take));
      bytes = bytes.subspan(take);
      if (buffer_.size() < kStepBytes) continue;
      if (const auto drained = drain(begin_ + kStepBytes); !drained) return drained;
      if (const auto stepped = step(); !stepped) return stepped;
    }
    return unreported_ < kStepBytes ? Expected<void>() : step();
  }

  Expected<void> flush() {
    if (const auto drained = drain(begin_ + buffer_.size()); !drained) return drained;
    return step();
  }

 private:
  /// Empties the buffer; the next bytes belong at `next`.
  Expected<void> drain(std::uint64_t next) {
    if (const auto written = file_.write_at(begin_, buffer_); !written) return written;
    unreported_ += buffer_.size();
    buffer_.clear();
    begin_ = next;
    return {};
  }

  Expected<void> step() {
    const bool go_on = step_(std::exchange(unreported_, 0));
    return go_on ? Expected<void>() : unexpected(Errc::cancelled, "the cast was stopped");
  }

  OutputFile& file_;
  const CastStep& step_;
  std::uint64_t begin_ = 0;  // of the buffer in the file
  std::vector<std::byte> buffer_;
  std::uint64_t unreported_ = 0;  // bytes written since the last step
};

/// The codes of a matrix go out band by band, its scales are kept until all are there.
class MatrixWriter {
 public:
  /// `data_start`: of the file's data.
  MatrixWriter(const CastTensor& tensor, const kernels::WeightMatrix& matrix, SteppedWriter& writer,
               std::uint64_t data_start)
      : tensor_(tensor),
        matrix_(matrix),
        writer_(writer),
        data_start_(data_start),
        codes_end_(data_start + tensor.outputs[0].begin) {}

  Expected<void> write() {
    values_.resize(
        static_cast<std::size_t>(std::min(kernels::kScaleBlock, matrix_.rows) * matrix_.cols));
    for (std::int64_t row = 0; row < matrix_.rows; row += kernels::kScaleBlock)
      if (const auto written = write_band(row); !written) return written;
    if (tensor_.outputs.size() < 2) return {};
    const auto scaled = writer_.write(data_start_ + tensor_.outputs[1].begin, scales_);
    if (!scaled || tensor_.outputs.size() < 3) return scaled;
    const std::array<std::int32_t, 2> shape{static_cast<std::int32_t>(matrix_.rows),
                                            static_cast<std::int32_t>(matrix_.cols)};
    return writer_.write(data_start_ + tensor_.outputs[2].begin, std::as_bytes(std::span(shape)));
  }

 private:
  Expected<void> write_band(std::int64_t first) {
    const std::int64_t count = std::min(kernels::kScaleBlock, matrix_.rows - first);
    for (std::int64_t r = 0; r < count; ++r)
      dequantise_row(matrix_, first + r,
                     std::span(values_).subspan(static_cast<std::size_t>(r * matrix_.cols),
                                                static_cast<std::size_t>(matrix_.cols)));
    const Rows band{values_, count, matrix_.cols};
    const auto written = encode(band);
    if (written || written.error().code != Errc::malformed) return written;
    return unexpected(Errc::malformed,
                      "tensor " + tensor_.weight + ", rows " + std::to_string(first) + " to " +
                          std::to_string(first + count - 1) + ": " + written.error().detail);
  }

  Expected<void> encode(const Rows& band) {
    switch (tensor_.encoding) {
      case Encoding::int8_blocks: return encode_int8(band, kernels::scale_blocks(band.cols));
      case Encoding::int8_channel: return encode_int8(band, band.count);
      case Encoding::int4_groups: return encode_int4(band);
      default: return encode_bf16(band);
    }
  }

  Expected<void> encode_bf16(const Rows& band) {
    std::vector<Bf16> out(static_cast<std::size_t>(band.count * band.cols));
    std::transform(band.values.begin(), band.values.begin() + static_cast<long>(out.size()),
                   out.begin(), f32_to_bf16);
    return write_codes(std::as_bytes(std::span(out)));
  }

  Expected<void> encode_int8(const Rows& band, std::int64_t scale_count) {
    std::vector<std::int8_t> codes(static_cast<std::size_t>(band.count * band.cols));
    std::vector<float> scales(static_cast<std::size_t>(scale_count));
    const bool fine = tensor_.encoding == Encoding::int8_blocks
                          ? quantise_int8_blocks(band, codes, scales)
                          : quantise_int8_rows(band, codes, scales);
    if (!fine)
      return unexpected(
          Errc::malformed,
          "a value times its scale overflows F32; the file is damaged, download it again");
    keep_scales(std::as_bytes(std::span(scales)));
    return write_codes(std::as_bytes(std::span(codes)));
  }

  Expected<void> encode_int4(const Rows& band) {
    const auto cols = static_cast<std::size_t>(band.cols);
    std::vector<std::uint32_t> words(static_cast<std::size_t>(tensor_.outputs[0].shape[1]));
    std::vector<Bf16> scales(static_cast<std::size_t>(tensor_.outputs[1].shape[1]));
    for (std::size_t r = 0; r < static_cast<std::size_t>(band.count); ++r) {
      if (!quantise_int4_row(band.values.subspan(r * cols, cols), words, scales))
        return unexpected(Errc::malformed,
                          "values of 2^65 and more do not fit INT4; use --to int8");
      keep_scales(std::as_bytes(std::span(scales)));
      if (const auto written = write_codes(std::as_bytes(std::span(words))); !written)
        return written;
    }
    return {};
  }

  Expected<void> write_codes(std::span<const std::byte> bytes) {
    return writer_.write(std::exchange(codes_end_, codes_end_ + bytes.size()), bytes);
  }

  void keep_scales(std::span<const std::byte> bytes) {
    scales_.insert(scales_.end(), bytes.begin(), bytes.end());
  }

  const CastTensor& tensor_;
  const kernels::WeightMatrix& matrix_;
  SteppedWriter& writer_;
  std::uint64_t data_start_;
  std::uint64_t codes_end_;    // where the next band goes
  std::vector<float> values_;  // [128, cols]
  std::vector<std::byte> scales_;
};

/// The matrix of `tensor`, in the file or, repacked, in `copy`.
Expected<kernels::WeightMatrix> matrix_of(const Checkpoint& checkpoint, const CastTensor& tensor,
                                          std::optional<RepackedWeight>& copy) {
  const auto stored = checkpoint.stored(tensor.weight, tensor.rows, tensor.cols);
  if (!stored) return unexpected(stored.error());
  if (!is_transposed(stored->format))
    return checkpoint.matrix(tensor.weight, tensor.rows, tensor.cols);
  auto made =
      RepackedWeight::prepare(*stored, checkpoint.config().quantisation, tensor.rows, tensor.cols);
  if (!made) return at(tensor.source->file, made.error());
  copy.emplace(*std::move(made));
  if (const auto fine = copy->repack(); !fine) return at(tensor.source->file, fine.error());
  return copy->matrix();
}

Expected<void> write_tensor(const Checkpoint& checkpoint, const CastTensor& tensor,
                            SteppedWriter& writer, std::uint64_t data_start) {
  if (tensor.encoding == Encoding::copy)
    return writer.write(data_start + tensor.outputs[0].begin,
                        {tensor.source->data, tensor.source->bytes});
  std::optional<RepackedWeight> copy;  // what `matrix` points into
  const auto matrix = matrix_of(checkpoint, tensor, copy);
  if (!matrix) return unexpected(matrix.error());
  if (const auto numbers = check_codes(tensor.weight, *matrix); !numbers)
    return at(tensor.source->file, numbers.error());
  const auto written = MatrixWriter(tensor, *matrix, writer, data_start).write();
  if (written || written.error().code != Errc::malformed) return written;
  return at(tensor.source->file, written.error());
}

}  // namespace

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
  const std::uint64_t data_start = plan.head.size();
  Expected<void> done = writer.write(0, std::as_bytes(std::span(plan.head)));
  if (plan.verbatim) {
    for (const SafetensorsEntry& entry : plan.source->header().entries)
      if (done) done = writer.write(data_start + entry.begin, plan.source->data(entry));
  } else {
    for (const CastTensor& tensor : plan.tensors)
      if (done) done = write_tensor(checkpoint, tensor, writer, data_start);
  }
  if (done) done = writer.flush();
  if (done) done = checkpoint.check_sizes();
  if (done) done = file->finish();
  plan.source->forget_pages();
  return done;
}

}  // namespace troupe::model
