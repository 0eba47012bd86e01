// Packing and unpacking of rows.
#include "actors/row_codec.hpp"

#include <cstring>

#include "core/check.hpp"

namespace troupe::actors {

proto::WireDtype wire_dtype(DType row_dtype) {
  TROUPE_CHECK(row_dtype == DType::f32 || row_dtype == DType::bf16, "rows are F32 or BF16");
  return row_dtype == DType::f32 ? proto::WireDtype::f32 : proto::WireDtype::bf16;
}

void pack_rows(const kernels::KernelTable& table, const float* rows, std::int64_t count,
               std::int64_t width, proto::WireDtype dtype, std::byte* out) {
  const std::int64_t n = count * width;
  if (dtype == proto::WireDtype::f32)
    std::memcpy(out, rows, static_cast<std::size_t>(n) * sizeof(float));
  else
    table.pack_bf16(rows, out, n);
}

void unpack_rows(const kernels::KernelTable& table, const proto::RowBlock& block,
                 std::int64_t first, std::int64_t count, float* out) {
  const std::int64_t n = count * block.width;
  const std::int64_t skip = first * block.width;
  if (block.dtype == proto::WireDtype::f32)
    std::memcpy(out, block.data.data() + skip * 4, static_cast<std::size_t>(n) * sizeof(float));
  else
    table.unpack_bf16(block.data.data() + skip * 2, out, n);
}

void pack_quantised(const float* codes, const float* scales, std::int64_t count, std::int64_t width,
                    std::byte* codes_out, std::byte* scales_out) {
  for (std::int64_t i = 0; i < count * width; ++i)
    codes_out[i] = static_cast<std::byte>(f32_to_e4m3(codes[i]));  // exact: they are e4m3 values
  const auto blocks = static_cast<std::size_t>((width + 127) / 128);
  std::memcpy(scales_out, scales, static_cast<std::size_t>(count) * blocks * sizeof(float));
}

void unpack_quantised(const proto::RowBlock& block, float* codes, float* scales) {
  const std::size_t n = std::size_t{block.rows} * block.width;
  for (std::size_t i = 0; i < n; ++i)
    codes[i] = e4m3_to_f32(std::to_integer<std::uint8_t>(block.data[i]));
  const auto offset = proto::scales_offset(block.rows, block.width);
  std::memcpy(scales, block.data.data() + offset, block.data.size() - offset);
}

}  // namespace troupe::actors
