// The scalar operations: what every level must equal bit for bit.
#pragma once
#include "kernels/ops/elementwise.hpp"
#include "kernels/ops/latent_cache.hpp"
#include "kernels/ops/linear.hpp"
#include "kernels/ops/mla_attention.hpp"

namespace troupe::kernels::reference {

void linear(const LinearArgs& args, std::int64_t begin, std::int64_t end);
void linear_tiles(const LinearArgs& args, std::int64_t begin, std::int64_t end);
void linear_int8(const LinearArgs& args, std::int64_t begin, std::int64_t end);
void mla_attention(const MlaAttentionArgs& args, std::int64_t begin, std::int64_t end);
void write_cache(const WriteCacheArgs& args, std::int64_t row_begin, std::int64_t row_end);
/// What the entry at `at` stands for. values [latent + rope].
void read_entry(const CacheEntry& entry, const std::byte* at, float* values);
void rms_norm(const RmsNormArgs& args, std::int64_t row_begin, std::int64_t row_end);
void rope(const RopeArgs& args, std::int64_t row_begin, std::int64_t row_end);
void swiglu(const SwigluArgs& args, std::int64_t row_begin, std::int64_t row_end);
void quantise(const QuantiseArgs& args, std::int64_t row_begin, std::int64_t row_end);
void quantise_int8(const QuantiseInt8Args& args, std::int64_t row_begin, std::int64_t row_end);
void round_bf16(const float* x, float* y, std::int64_t n);
void pack_bf16(const float* x, void* y, std::int64_t n);
void unpack_bf16(const void* x, float* y, std::int64_t n);
void add(float* x, const float* y, std::int64_t n, bool round_to_bf16);
void axpy(float* acc, const float* x, float weight, std::int64_t n);
void sigmoid(const float* x, float* y, std::int64_t n);
SoftmaxStats softmax_stats(const float* x, std::int64_t n);

}  // namespace troupe::kernels::reference
