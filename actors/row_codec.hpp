// Rows between F32, as the model computes, and the dtypes that frames carry.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.hpp"
#include "kernels/registry.hpp"
#include "proto/frames/bodies.hpp"

namespace troupe::actors {

/// The wire's name of an activation dtype (BF16 or F32).
proto::WireDtype wire_dtype(DType row_dtype);

/// Rows [rows, width] that BF16 or F32 can hold exactly, written as `dtype` to `out`
/// (proto::row_block_bytes). *Threading*: any; meant for compute jobs.
void pack_rows(const kernels::KernelTable& table, const float* rows, std::int64_t count,
               std::int64_t width, proto::WireDtype dtype, std::byte* out);

/// `count` rows [count, width] of `block` from row `first` on, as F32; BF16 and F32 blocks.
void unpack_rows(const kernels::KernelTable& table, const proto::RowBlock& block,
                 std::int64_t first, std::int64_t count, float* out);

/// Quantised rows (e4m3_block128): codes as F32 values [rows, width] and their scales
/// [rows, ceil(width / 128)].
void pack_quantised(const float* codes, const float* scales, std::int64_t count, std::int64_t width,
                    std::byte* codes_out, std::byte* scales_out);
void unpack_quantised(const proto::RowBlock& block, float* codes, float* scales);

}  // namespace troupe::actors
