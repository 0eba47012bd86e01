// The argument checks that every level shares.
#include <string>

#include "core/check.hpp"
#include "kernels/ops/linear.hpp"
#include "kernels/ops/mla_attention.hpp"

namespace troupe::kernels {

void check_linear(const LinearArgs& args) {
  const bool blocks = args.w.dtype == DType::f8_e4m3;
  TROUPE_CHECK(blocks || args.w.dtype == DType::bf16 || args.w.dtype == DType::f32,
               "weight of dtype " + std::string(to_string(args.w.dtype)));
  TROUPE_CHECK(blocks == (args.w.scales != nullptr), "scales come with e4m3 weights only");
  TROUPE_CHECK(blocks || args.x_scales == nullptr, "quantised rows need an e4m3 weight");
}

void check_mla_attention(const MlaAttentionArgs& args) {
  TROUPE_CHECK(args.cache_dtype == DType::bf16 || args.cache_dtype == DType::f32,
               "cache of dtype " + std::string(to_string(args.cache_dtype)));
}

}  // namespace troupe::kernels
