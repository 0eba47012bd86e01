// Gate, quantisation, combination and gathering of rows.
#include "actors/router/row_work.hpp"

#include <array>

#include "actors/row_codec.hpp"

namespace troupe::actors::row_work {
namespace {

std::vector<float> unpack(const kernels::Engine& engine, const proto::RowBlock& rows) {
  std::vector<float> values(std::size_t{rows.rows} * rows.width);
  unpack_rows(*engine.table, rows, 0, rows.rows, values.data());
  return values;
}

const proto::RowBlock& rows_of(const transport::ReceivedFrame& frame) {
  return std::get<proto::Rows>(frame.body).rows;
}

constexpr std::array<std::byte, 4> kPadding{};

}  // namespace

std::size_t gate_bytes(const transport::ReceivedFrame& frame, bool quantise) {
  const auto& rows = rows_of(frame);
  const std::size_t unpacked = std::size_t{rows.rows} * rows.width * sizeof(float);
  return quantise ? 3 * unpacked : unpacked;  // beside them codes, and the block they go to
}

std::size_t combine_bytes(const model::ModelConfig& config, const CombineInput& input) {
  const auto rows = input.rows + config.experts_per_token + 1;  // of one share: replies and a sum
  return static_cast<std::size_t>(rows * config.hidden_size) * sizeof(float);
}

model::Routing gate(const model::RouterModel& model, const kernels::Engine& engine,
                    const transport::ReceivedFrame& frame) {
  const auto& rows = rows_of(frame);
  return model.gate(frame.header.layer, unpack(engine, rows).data(), rows.rows);
}

transport::Buffer quantise(const model::RouterModel& model, const kernels::Engine& engine,
                           const transport::ReceivedFrame& frame, transport::BufferPool& buffers) {
  const auto& rows = rows_of(frame);
  const std::int64_t width = rows.width;
  const auto values = unpack(engine, rows);
  std::vector<float> codes(values.size());
  std::vector<float> scales(rows.rows * static_cast<std::size_t>((width + 127) / 128));
  engine.quantise({values.data(), width, codes.data(), scales.data(), rows.rows, width,
                   model.config().quantisation.scale_fmt_ue8m0});
  const auto dtype = proto::WireDtype::e4m3_block128;
  auto block = buffers.take(proto::row_block_bytes(rows.rows, rows.width, dtype));
  pack_quantised(codes.data(), scales.data(), rows.rows, width, block.data(),
                 block.data() + proto::scales_offset(rows.rows, rows.width));
  return block;
}

transport::Buffer combine(const model::RouterModel& model, const kernels::Engine& engine,
                          const CombineInput& input, transport::BufferPool& buffers) {
  const std::int64_t width = model.config().hidden_size;
  const auto k = static_cast<std::size_t>(model.config().experts_per_token);
  const auto dtype = input.dtype;
  const auto row_bytes = proto::row_block_bytes(1, static_cast<std::uint32_t>(width), dtype);
  auto out = buffers.take(static_cast<std::size_t>(input.rows) * row_bytes);
  engine.pool->parallel_for(input.rows, 4, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> replies(k * static_cast<std::size_t>(width));
    std::vector<float> sum(static_cast<std::size_t>(width));
    std::vector<const float*> rows(k);
    for (std::int64_t row = begin; row < end; ++row) {
      const auto first = static_cast<std::size_t>(row) * k;
      for (std::size_t i = 0; i < k; ++i) {
        float* reply = replies.data() + i * static_cast<std::size_t>(width);
        const proto::RowBlock one{
            1, static_cast<std::uint32_t>(width), dtype, {input.replies[first + i], row_bytes}};
        unpack_rows(*engine.table, one, 0, 1, reply);
        rows[i] = reply;
      }
      model.combine(rows, {input.routing.weights.data() + first, k}, sum.data());
      pack_rows(*engine.table, sum.data(), 1, width, dtype,
                out.data() + static_cast<std::size_t>(row) * row_bytes);
    }
  });
  return out;
}

transport::OutgoingFrame expert_rows(const proto::FrameHeader& header, const Dispatch& dispatch,
                                     const RouterItem& item, transport::BufferPool& buffers) {
  const auto& asked = std::get<proto::Rows>(item.frame->body);
  std::vector<proto::ExpertPair> pairs;
  pairs.reserve(dispatch.pairs.size());
  for (const auto& pair : dispatch.pairs)
    pairs.push_back(
        {static_cast<std::uint32_t>(pair.row), static_cast<std::uint32_t>(pair.expert)});
  proto::ExpertRows body{asked.micro_batch, pairs, asked.rows};
  const auto count = static_cast<std::uint32_t>(dispatch.rows.size());
  const auto width = asked.rows.width;
  const auto gather = [&](transport::OutgoingFrame& frame, std::span<const std::byte> from,
                          std::size_t row_bytes) {
    for (const auto row : dispatch.rows)
      frame.rows.push_back(from.subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes));
  };
  body.rows.rows = count;
  if (!item.quantised) {
    auto frame = transport::make_frame_head(buffers, header, body);
    gather(frame, asked.rows.data, proto::row_block_bytes(1, width, asked.rows.dtype));
    return frame;
  }
  body.rows.dtype = proto::WireDtype::e4m3_block128;
  auto frame = transport::make_frame_head(buffers, header, body);
  const auto block = std::as_const(*item.quantised).span();
  gather(frame, block, width);
  const auto padding = proto::scales_offset(count, width) - std::size_t{count} * width;
  if (padding > 0) frame.rows.push_back({kPadding.data(), padding});
  gather(frame, block.subspan(proto::scales_offset(asked.rows.rows, width)),
         std::size_t{(width + 127) / 128} * sizeof(float));
  return frame;
}

}  // namespace troupe::actors::row_work
