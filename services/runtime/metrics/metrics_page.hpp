// The page docs/metrics.md, from the declarations of the metrics.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "services/runtime/metrics/metric_spec.hpp"

namespace troupe::services {

struct MetricSection {
  std::string_view title;  // "Expert service"
  std::span<const MetricSpec* const> metrics;
};

std::string metrics_page(const std::vector<MetricSection>& sections);

}  // namespace troupe::services
