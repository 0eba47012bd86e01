// The argument checks that every level shares.
#include <string>

#include "core/check.hpp"
#include "kernels/ops/linear.hpp"
#include "kernels/ops/mla_attention.hpp"

namespace troupe::kernels {

void check_linear(const LinearArgs& args) {
  const DType dtype = args.w.dtype;
  TROUPE_CHECK(args.w.cols > 0, "a weight without columns");
  const bool scaled = dtype == DType::f8_e4m3 || dtype == DType::i8;
  const bool grouped = dtype == DType::i32;
  TROUPE_CHECK(scaled || grouped || dtype == DType::bf16 || dtype == DType::f32,
               "weight of dtype " + std::string(to_string(dtype)));
  TROUPE_CHECK(scaled == (args.w.scales != nullptr), "scales come with e4m3 and I8 weights only");
  const bool zeroed = args.w.zeroed_scales != nullptr;
  TROUPE_CHECK(grouped == ((args.w.group_scales != nullptr) != zeroed),
               "scales of groups, with or without zero points, come with packed weights only");
  TROUPE_CHECK(!zeroed || (args.w.cols % kScaleGroup == 0 && args.w.group_cols > 0 &&
                           args.w.group_cols % kScaleGroup == 0),
               "groups with zero points are whole multiples of 32 columns");
  TROUPE_CHECK(zeroed || args.w.column_order == nullptr,
               "columns in another order come with zero points only");
  TROUPE_CHECK(args.w.scale_shape == ScaleShape::block || dtype == DType::i8,
               "scales of rows come with I8 weights only");
  if (args.x_codes != nullptr) {
    TROUPE_CHECK(args.w.takes_int8_rows() && args.x_scales != nullptr,
                 "rows of INT8 codes need their scales and an INT8 or INT4 weight");
    return;
  }
  TROUPE_CHECK(args.x_scales == nullptr || args.w.takes_quantised_rows(),
               "quantised rows need an e4m3 weight");
}

void check_linear_tiles(const LinearArgs& args) {
  check_linear(args);
  TROUPE_CHECK(args.w.takes_tiles(),
               "tiles of BF16 with a weight of " + std::string(to_string(args.w.dtype)));
  TROUPE_CHECK(args.x_codes == nullptr && args.x_scales == nullptr,
               "tiles of BF16 take rows as they are");
}

void CacheEntry::check() const {
  TROUPE_CHECK(dtype == DType::bf16 || dtype == DType::f32 || quantised(),
               "cache of dtype " + std::string(to_string(dtype)));
}

void check_mla_attention(const MlaAttentionArgs& args) { args.entry().check(); }

}  // namespace troupe::kernels
