// All features of some rows by one level, of no numbered call.
#pragma once
#include <vector>

#include "kernels/registry.hpp"

namespace troupe::kernels {

/// y [tokens, w.rows].
inline std::vector<float> run_linear(const KernelTable& level, const WeightMatrix& w,
                                     const float* x, std::int64_t tokens,
                                     const float* x_scales = nullptr) {
  std::vector<float> y(static_cast<std::size_t>(tokens * w.rows));
  level.linear({.x = x,
                .x_stride = w.cols,
                .x_scales = x_scales,
                .w = w,
                .y = y.data(),
                .y_stride = w.rows,
                .tokens = tokens},
               0, w.rows);
  return y;
}

}  // namespace troupe::kernels
