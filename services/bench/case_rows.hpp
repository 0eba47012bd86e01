// Rows of numbers that the cases of `troupe bench kernels` compute on.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace troupe::services {

using Floats = std::vector<float>;

inline double as_double(std::int64_t value) { return static_cast<double>(value); }

inline std::shared_ptr<Floats> zeros(std::int64_t count) {
  return std::make_shared<Floats>(static_cast<std::size_t>(count));
}

/// Normal values that BF16 can hold, a block of them again and again.
std::shared_ptr<Floats> random_values(std::int64_t count);

}  // namespace troupe::services
