// What a metric is called, counts and is labelled with: a row of docs/metrics.md.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::services {

enum class MetricKind : std::uint8_t { counter, gauge, histogram };
/// "counter", "gauge", "histogram".
std::string_view to_string(MetricKind kind);

/// Names follow Prometheus: base units, `_total` on counters. Declared once, in the header of the
/// service that exports it.
struct MetricSpec {
  std::string_view name;
  MetricKind kind = MetricKind::counter;
  std::string_view labels;              // "model, shard", in the order their values are given
  std::string_view help;                // one sentence without a full stop
  std::span<const double> bounds = {};  // of a histogram

  std::vector<std::string> label_names() const;
};

/// Values of a metric's labels, in the order of MetricSpec::labels.
using LabelValues = std::vector<std::string>;

}  // namespace troupe::services
