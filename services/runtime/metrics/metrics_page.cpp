// Markdown of the catalogue.
#include "services/runtime/metrics/metrics_page.hpp"

#include <array>
#include <cstdio>

namespace troupe::services {
namespace {

std::string bounds_text(std::span<const double> bounds) {
  std::string out;
  for (const double bound : bounds) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%g", bound);
    out += (out.empty() ? "" : ", ") + std::string(text.data());
  }
  return out;
}

}  // namespace

std::string metrics_page(const std::vector<MetricSection>& sections) {
  std::string out =
      "# Metrics\n\n"
      "Generated from the headers `services/*/*_metrics.hpp`; tests compare them with this page, "
      "and this\npage with a live scrape.\n\n"
      "Every service answers `/metrics` on its ops port (`ops.listen`) for Prometheus. Every label "
      "set exists\nat 0 from the start. Counters only grow, also when a role leaves the cluster "
      "and joins again. `model`\nis `model.served_name`. Nothing has a label that grows with "
      "requests.\n";
  for (const MetricSection& section : sections) {
    out += "\n## " + std::string(section.title) +
           "\n\n| Name | Type | Labels | Meaning |\n|---|---|---|---|\n";
    for (const MetricSpec* metric : section.metrics) {
      out += "| `" + std::string(metric->name) + "` | " + std::string(to_string(metric->kind)) +
             " | " + std::string(metric->labels) + " | " + std::string(metric->help);
      if (!metric->bounds.empty()) out += "; buckets " + bounds_text(metric->bounds);
      out += " |\n";
    }
  }
  return out;
}

}  // namespace troupe::services
