// Markdown of the catalogue.
#include "services/runtime/metrics/metrics_page.hpp"

#include <array>
#include <cstdio>
#include <string_view>

namespace troupe::services {
namespace {

constexpr std::string_view kNotThereYet = R"(
## Not there yet

* `troupe_transport_send_duration_seconds`: UCX tells a completion only when the loop asks, so the
  time from post to completion would be that of our own loop. Writing and posting is in
  `troupe_router_dispatch_duration_seconds`, the way there and back in
  `troupe_router_wait_duration_seconds`.
* `troupe_transport_registered_bytes`: Troupe registers no memory itself. What UCX registers stays
  in a cache of its own, which it measures only in builds with statistics.
* `troupe_actor_mailbox_size`, `troupe_actor_messages_total`: CAF 0.17 counts neither. Rows and
  tokens do not go through mailboxes; what waits in front of a role, the role counts:
  `troupe_expert_queue_depth`, `troupe_router_items_open`, `troupe_attention_sequences_waiting`,
  `troupe_gateway_requests_queued`.
* `troupe_expert_tokens_total`, `troupe_expert_load_imbalance_ratio`, `troupe_expert_replicas`,
  `troupe_elasticity_*`: counts by expert and replicas of hot experts come with elasticity.
* Labels `cuda` and `nccl` of `troupe_build_info`: there is no GPU build.
)";

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
  return out + std::string(kNotThereYet);
}

}  // namespace troupe::services
